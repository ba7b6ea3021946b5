"""The results of reads, puts and deletes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final, Protocol, overload

from etcd_channel import HeaderLike, KeyValue, KeyValueLike, KeyValues, Record, ResponseHeader
from etcd_channel.arguments import NOT_GIVEN, check_flag, check_int
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["Delete", "DeleteRange", "Get", "GetRange", "Put"]

_new = object.__new__


class _Header:
    """The `header` of a result; made from the message at first access, as most are never read."""

    @overload
    def __get__(self, result: None, kind: type[_Result]) -> _Header: ...
    @overload
    def __get__(self, result: _Result, kind: type[_Result]) -> ResponseHeader: ...
    def __get__(self, result: _Result | None, kind: type[_Result]) -> _Header | ResponseHeader:
        if result is None:
            return self
        header = result._header
        if not isinstance(header, ResponseHeader):
            header = result._header = ResponseHeader(header)
        return header


class _Result(Protocol):
    _header: HeaderLike


_NO_HEADER: Final = ResponseHeader()


def _header_or_empty(header: HeaderLike) -> HeaderLike:
    return _NO_HEADER if header is NOT_GIVEN else header


def _key_values(kvs: Iterable[KeyValueLike]) -> KeyValues:
    return KeyValues([] if kvs is NOT_GIVEN else list(map(KeyValue, kvs)))


class Get(KeyValue):
    """A key with its value, returned by a read.

    A test can construct one from a `KeyValue` or from the fields of one.
    """

    _fields: ClassVar[tuple[str, ...]] = ("header", *KeyValue._fields)
    __slots__ = ("_header",)

    header = _Header()
    """The response header: the member that answered, and the revision of the store."""

    @overload
    def __init__(self, header: HeaderLike, keyvalue: KeyValueLike) -> None: ...
    @overload
    def __init__(
        self,
        header: HeaderLike = NOT_GIVEN,
        *,
        key: bytes,
        value: bytes = b"",
        create_revision: int = 0,
        mod_revision: int = 0,
        version: int = 0,
        lease: int = 0,
    ) -> None: ...
    def __init__(
        self, header: HeaderLike = NOT_GIVEN, keyvalue: KeyValueLike = NOT_GIVEN, **fields: Any
    ) -> None:
        self._header = _header_or_empty(header)
        super().__init__(keyvalue, **fields)

    @staticmethod
    def from_response(header: HeaderLike, message: KeyValueLike) -> Get:
        """Build a `Get` from a response, without the checks of the constructor."""
        made = _new(Get)
        made._header = header
        made._message = message
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Get, (self.header, self._message)


def get_of(header: HeaderLike, response: pb.RangeResponse) -> Get | None:
    """Return the result of a read of a single key; None for a missing key."""
    kvs = response.kvs
    return Get.from_response(header, kvs[0]) if kvs else None


def gets_of(header: HeaderLike, answers: Iterable[pb.ResponseOp]) -> list[Get | None]:
    """Return the results of reads of single keys in a transaction; None for a missing key."""
    # `Get.from_response` inlined, which saves a call for each key.
    new, kind = _new, Get
    gets: list[Get | None] = []
    for answer in answers:
        kvs = answer.response_range.kvs
        if not kvs:
            gets.append(None)
            continue
        made = new(kind)
        made._header = header
        made._message = kvs[0]
        gets.append(made)
    return gets


class _KeySequence:
    """A sequence of the keys in a response, or of those given to the constructor."""

    __slots__ = ("_kvs",)
    _fields: ClassVar[tuple[str, ...]]
    _kvs: KeyValues

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _KeySequence) or type(other) is not type(self):
            return NotImplemented
        same = all(getattr(self, name) == getattr(other, name) for name in self._fields)
        return same and self._kvs == other._kvs

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __len__(self) -> int:
        return len(self._kvs)

    def __iter__(self) -> Iterator[KeyValue]:
        return iter(self._kvs)

    @overload
    def __getitem__(self, index: int) -> KeyValue: ...
    @overload
    def __getitem__(self, index: slice) -> list[KeyValue]: ...
    def __getitem__(self, index: int | slice) -> KeyValue | list[KeyValue]:
        return self._kvs[index]

    def _repr_of_keys(self) -> str:
        shown = ", ".join(repr(kv) for kv in self[:3])
        rest = len(self) - 3
        return f"[{shown}, and {rest} more]" if rest > 0 else f"[{shown}]"


class GetRange(_KeySequence):
    """The keys of a range with their values; a sequence of `KeyValue`.

    It is true if the range has any key, even if `count_only` or `limit` left the keys out.
    `len()` is the number of keys that were returned. The `KeyValue` of a key is made when it is
    accessed, so a large result is cheap until it is read. A test can construct a result,
    `GetRange(kvs=[KeyValue(key=b"k")])`; `count` is the number of `kvs` if it is not given.
    """

    _fields: ClassVar[tuple[str, ...]] = ("header", "count", "more")
    __slots__ = ("_count", "_header", "_more")

    header = _Header()
    """The response header: the member that answered, and the revision of the store."""

    def __init__(
        self,
        header: HeaderLike = NOT_GIVEN,
        kvs: Iterable[KeyValueLike] = NOT_GIVEN,
        more: bool = NOT_GIVEN,
        count: int = NOT_GIVEN,
    ) -> None:
        self._header = _header_or_empty(header)
        self._kvs = _key_values(kvs)
        self._more = False if more is NOT_GIVEN else check_flag("more", more)
        self._count = len(self._kvs) if count is NOT_GIVEN else check_int("count", count)

    @classmethod
    def from_response(
        cls, header: HeaderLike, messages: Sequence[KeyValueLike], more: bool, count: int
    ) -> GetRange:
        """Build a `GetRange` from a response, without reading its keys."""
        made = _new(GetRange)
        made._header = header
        made._kvs = KeyValues(messages)
        made._more = more
        made._count = count
        return made

    @property
    def more(self) -> bool:
        """Whether the limit left keys of the range out."""
        return self._more

    @property
    def count(self) -> int:
        """The number of keys in the range, including those that the limit left out."""
        return self._count

    @property
    def kvs(self) -> Sequence[KeyValue]:
        """The returned keys; the same sequence as the `GetRange` itself."""
        return self._kvs

    def __bool__(self) -> bool:
        return self._count > 0

    def __reduce__(self) -> tuple[Any, ...]:
        return GetRange.from_response, (self.header, self._kvs, self.more, self.count)

    def __repr__(self) -> str:
        return (
            f"GetRange(revision={self.header.revision}, count={self.count},"
            f" more={self.more}, kvs={self._repr_of_keys()})"
        )


class Put(Record):
    """The result of a put."""

    _fields: ClassVar[tuple[str, ...]] = ("header", "prev_kv")
    __slots__ = ("_header", "_prev_kv")

    header = _Header()
    """The response header; its revision is the revision of the put."""

    def __init__(self, header: HeaderLike = NOT_GIVEN, prev_kv: KeyValueLike | None = None) -> None:
        self._header = _header_or_empty(header)
        self._prev_kv = None if prev_kv is None else KeyValue(prev_kv)

    @property
    def prev_kv(self) -> KeyValue | None:
        """The key before the put; None if it did not exist or `prev_kv` was not requested."""
        return self._prev_kv

    def __reduce__(self) -> tuple[Any, ...]:
        return Put, (self.header, self.prev_kv)


def put_of(header: HeaderLike, response: pb.PutResponse) -> Put:
    """Return the result of a put."""
    return Put(header, response.prev_kv if response.HasField("prev_kv") else None)


class Delete(Record):
    """The result of the deletion of one key."""

    _fields: ClassVar[tuple[str, ...]] = ("header", "deleted", "prev_kv")
    __slots__ = ("_deleted", "_header", "_prev_kv")

    header = _Header()
    """The response header; its revision is the revision of the deletion."""

    def __init__(
        self,
        header: HeaderLike = NOT_GIVEN,
        deleted: int = NOT_GIVEN,
        prev_kv: KeyValueLike | None = None,
    ) -> None:
        self._header = _header_or_empty(header)
        self._deleted = 1 if deleted is NOT_GIVEN else check_int("deleted", deleted)
        self._prev_kv = None if prev_kv is None else KeyValue(prev_kv)

    @property
    def deleted(self) -> int:
        """The number of deleted keys: 1."""
        return self._deleted

    @property
    def prev_kv(self) -> KeyValue | None:
        """The deleted key with its value; None if `prev_kv` was not requested."""
        return self._prev_kv

    def __reduce__(self) -> tuple[Any, ...]:
        return Delete, (self.header, self.deleted, self.prev_kv)


def delete_of(header: HeaderLike, response: pb.DeleteRangeResponse) -> Delete | None:
    """Return the result of the deletion of a single key; None if it did not exist."""
    if not response.deleted:
        return None
    previous = response.prev_kvs[0] if response.prev_kvs else None
    return Delete(header, response.deleted, previous)


class DeleteRange(_KeySequence):
    """The result of the deletion of a range; with `prev_kv`, a sequence of the deleted keys.

    It is true if any key was deleted. `len()` is the number of keys that were returned, 0 without
    `prev_kv`. A test can construct a result, `DeleteRange(deleted=3)`; `deleted` is the number of
    `prev_kvs` if it is not given.
    """

    _fields: ClassVar[tuple[str, ...]] = ("header", "deleted")
    __slots__ = ("_deleted", "_header")

    header = _Header()
    """The response header; its revision is that of the deletion, if a key was deleted."""

    def __init__(
        self,
        header: HeaderLike = NOT_GIVEN,
        deleted: int = NOT_GIVEN,
        prev_kvs: Iterable[KeyValueLike] = NOT_GIVEN,
    ) -> None:
        self._header = _header_or_empty(header)
        self._kvs = _key_values(prev_kvs)
        self._deleted = len(self._kvs) if deleted is NOT_GIVEN else check_int("deleted", deleted)

    @classmethod
    def from_response(
        cls, header: HeaderLike, deleted: int, messages: Sequence[KeyValueLike]
    ) -> DeleteRange:
        """Build a `DeleteRange` from a response, without reading its keys."""
        made = _new(DeleteRange)
        made._header = header
        made._kvs = KeyValues(messages)
        made._deleted = deleted
        return made

    @property
    def deleted(self) -> int:
        """The number of deleted keys."""
        return self._deleted

    @property
    def prev_kvs(self) -> Sequence[KeyValue]:
        """The deleted keys, if `prev_kv` was requested; the same sequence as the result itself."""
        return self._kvs

    def __bool__(self) -> bool:
        return self._deleted > 0

    def __reduce__(self) -> tuple[Any, ...]:
        return DeleteRange.from_response, (self.header, self.deleted, self._kvs)

    def __repr__(self) -> str:
        return (
            f"DeleteRange(revision={self.header.revision}, deleted={self.deleted},"
            f" prev_kvs={self._repr_of_keys()})"
        )
