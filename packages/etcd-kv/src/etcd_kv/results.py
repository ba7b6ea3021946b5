"""What the key-value calls return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol, overload

from etcd_channel import KeyValue, Record, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["Delete", "DeleteRange", "Get", "GetRange", "Put", "TransactionResult"]


HeaderMessage = common_pb2.ResponseHeader | ResponseHeader


class _Header:
    """The header of an answer, made of its message when it is asked for: few ask."""

    @overload
    def __get__(self, answer: None, kind: type[_Answer]) -> _Header: ...
    @overload
    def __get__(self, answer: _Answer, kind: type[_Answer]) -> ResponseHeader: ...
    def __get__(self, answer: _Answer | None, kind: type[_Answer]) -> _Header | ResponseHeader:
        if answer is None:
            return self
        header = answer._header
        if not isinstance(header, ResponseHeader):
            header = answer._header = ResponseHeader(header)
        return header


class _Answer(Protocol):
    _header: HeaderMessage


class Get(KeyValue):
    """A key with its value, as it was read."""

    _fields: ClassVar[tuple[str, ...]] = ("header", *KeyValue._fields)
    __slots__ = ("_header",)

    header = _Header()
    """Who answered, and at which revision."""

    def __init__(self, header: HeaderMessage, keyvalue: common_pb2.KeyValue) -> None:
        self._header = header
        self._message = keyvalue

    def __reduce__(self) -> tuple[Any, ...]:
        return Get, (self.header, self._message)


class _KeyValues:
    """A sequence that wraps a key when it is asked for, and not before.

    So a large result costs little more than its bytes, and reading one key of it no more
    than that one.
    """

    __slots__ = ("_messages",)
    _fields: ClassVar[tuple[str, ...]]

    def __init__(self, messages: Sequence[common_pb2.KeyValue]) -> None:
        self._messages = messages

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _KeyValues) or type(other) is not type(self):
            return NotImplemented
        same = all(getattr(self, name) == getattr(other, name) for name in self._fields)
        return same and list(self._messages) == list(other._messages)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[KeyValue]:
        return map(KeyValue, self._messages)

    @overload
    def __getitem__(self, index: int) -> KeyValue: ...
    @overload
    def __getitem__(self, index: slice) -> list[KeyValue]: ...
    def __getitem__(self, index: int | slice) -> KeyValue | list[KeyValue]:
        if isinstance(index, slice):
            return [KeyValue(message) for message in self._messages[index]]
        return KeyValue(self._messages[index])

    def _shown(self) -> str:
        shown = ", ".join(repr(kv) for kv in self[:3])
        rest = len(self) - 3
        return f"[{shown}, and {rest} more]" if rest > 0 else f"[{shown}]"


class GetRange(_KeyValues):
    """The keys of a range with their values: iterable, indexable, sliceable.

    It is true if the range holds any key, also when none was returned because only their
    number was asked for. `len` is the number of keys that were returned.
    """

    __slots__ = _fields = ("header", "count", "more")

    header: ResponseHeader
    """Who answered, and at which revision."""
    more: bool
    """Whether there are keys beyond the limit."""
    count: int
    """The number of keys in the range, whatever the limit."""

    def __init__(
        self,
        header: common_pb2.ResponseHeader,
        kvs: Sequence[common_pb2.KeyValue],
        more: bool,
        count: int,
    ) -> None:
        super().__init__(kvs)
        self.header = ResponseHeader(header)
        self.more = more
        self.count = count

    @property
    def kvs(self) -> Sequence[common_pb2.KeyValue]:
        """The keys as they came over the wire: messages with the fields of `KeyValue`."""
        return self._messages

    def __bool__(self) -> bool:
        return self.count > 0

    def __reduce__(self) -> tuple[Any, ...]:
        return GetRange, (self.header, list(self._messages), self.more, self.count)

    def __repr__(self) -> str:
        return (
            f"GetRange(revision={self.header.revision}, count={self.count},"
            f" more={self.more}, kvs={self._shown()})"
        )


class Put(Record):
    """What a put did."""

    _fields: ClassVar[tuple[str, ...]] = ("header", "prev_kv")
    __slots__ = ("_header", "prev_kv")

    header = _Header()
    """Who answered; its revision is that of the put."""
    prev_kv: KeyValue | None
    """The key before it, if that was asked for and there was one."""

    def __init__(
        self, header: HeaderMessage, prev_kv: common_pb2.KeyValue | KeyValue | None = None
    ) -> None:
        self._header = header
        self.prev_kv = None if prev_kv is None else KeyValue(prev_kv)

    def __reduce__(self) -> tuple[Any, ...]:
        return Put, (self.header, self.prev_kv)


class Delete(Record):
    """What the deletion of one key did."""

    __slots__ = _fields = ("header", "deleted", "prev_kv")

    header: ResponseHeader
    """Who answered; its revision is that of the deletion."""
    deleted: int
    """The number of keys deleted: 1."""
    prev_kv: KeyValue | None
    """The key before it, if that was asked for."""

    def __init__(
        self,
        header: common_pb2.ResponseHeader,
        deleted: int,
        prev_kv: common_pb2.KeyValue | None = None,
    ) -> None:
        self.header = ResponseHeader(header)
        self.deleted = deleted
        self.prev_kv = None if prev_kv is None else KeyValue(prev_kv)


class DeleteRange(_KeyValues):
    """What the deletion of a range did; a sequence of the deleted keys if they were asked for.

    It is true if any key was deleted. `len` is the number of keys that were returned.
    """

    __slots__ = _fields = ("header", "deleted")

    header: ResponseHeader
    """Who answered; its revision is that of the deletion, if there was one."""
    deleted: int
    """The number of keys deleted."""

    def __init__(
        self,
        header: common_pb2.ResponseHeader,
        deleted: int,
        prev_kvs: Sequence[common_pb2.KeyValue],
    ) -> None:
        super().__init__(prev_kvs)
        self.header = ResponseHeader(header)
        self.deleted = deleted

    @property
    def prev_kvs(self) -> Sequence[common_pb2.KeyValue]:
        """The deleted keys as they came over the wire: messages with `KeyValue`'s fields."""
        return self._messages

    def __bool__(self) -> bool:
        return self.deleted > 0

    def __reduce__(self) -> tuple[Any, ...]:
        return DeleteRange, (self.header, self.deleted, list(self._messages))

    def __repr__(self) -> str:
        return (
            f"DeleteRange(revision={self.header.revision}, deleted={self.deleted},"
            f" prev_kvs={self._shown()})"
        )


TransactionResponse = list[tuple[bytes, Get]] | pb.ResponseOp
"""The response to one operation."""


class TransactionResult(tuple[bool, list[TransactionResponse]]):
    """A pair, as documented: whether the compares held, and a response for each operation.

    The response to a get is a list of `(value, Get)`; to a put, a delete or a nested
    transaction it is an object with `response_put`, `response_delete_range` or
    `response_txn`. Beyond the pair, `header` tells the revision of the whole.
    """

    header: ResponseHeader
    """Who answered, and the revision at which it was done."""

    def __new__(cls, response: pb.TxnResponse) -> TransactionResult:
        header = ResponseHeader(response.header)
        responses = [_response(header, op) for op in response.responses]
        return _transaction_result(response.succeeded, responses, header)

    @property
    def succeeded(self) -> bool:
        """Whether all compares held, and so which list of operations was carried out."""
        return self[0]

    @property
    def responses(self) -> list[TransactionResponse]:
        """A response for each operation, in their order."""
        return self[1]

    def __repr__(self) -> str:
        return (
            f"TransactionResult(succeeded={self.succeeded}, revision={self.header.revision},"
            f" responses={self.responses})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _transaction_result, (self.succeeded, self.responses, self.header)


def _transaction_result(
    succeeded: bool, responses: list[TransactionResponse], header: ResponseHeader
) -> TransactionResult:
    made = tuple.__new__(TransactionResult, (succeeded, responses))
    made.header = header
    return made


def _response(header: ResponseHeader, op: pb.ResponseOp) -> TransactionResponse:
    if op.WhichOneof("response") == "response_range":
        return [(kv.value, Get(header, kv)) for kv in op.response_range.kvs]
    return op
