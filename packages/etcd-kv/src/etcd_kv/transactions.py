"""Builds transactions from compares, operations and nested transactions.

Unlike in `KVClient`, keys and values may also be strings, which are encoded in UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, TypeVar

from etcd_channel import LeaseLike, to_bytes
from etcd_channel.arguments import check_key, check_lease_id, check_range_end, check_whole
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import (
    SortOrder,
    SortTarget,
    delete_request,
    put_request,
    range_request,
)

__all__ = [
    "Compare",
    "Create",
    "Delete",
    "Get",
    "LeaseOf",
    "Mod",
    "Operation",
    "Put",
    "Target",
    "Transactions",
    "Txn",
    "Value",
    "Version",
    "txn_request",
]

OperandT = TypeVar("OperandT", contravariant=True)

_OPERATORS: Final = {
    pb.Compare.EQUAL: "==",
    pb.Compare.NOT_EQUAL: "!=",
    pb.Compare.LESS: "<",
    pb.Compare.GREATER: ">",
}


def _encoded(name: str, value: object) -> bytes:
    if isinstance(value, (bytes, str)):
        return to_bytes(value)
    raise TypeError(f"{name} must be bytes or str, not {type(value).__name__}")


def _encoded_range(key: object, range_end: object) -> tuple[bytes, bytes | None]:
    start = check_key("key", _encoded("key", key))
    return start, None if range_end is None else _encoded("range_end", range_end)


class Compare:
    """A condition of a transaction; the result of comparing a `Target` with a value."""

    __slots__ = ("_message",)

    def __init__(self, message: pb.Compare) -> None:
        self._message = message

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a compare is neither true nor false until the server has evaluated it:"
            " pass a list of compares instead of joining them by 'and'"
        )

    def __repr__(self) -> str:
        message = self._message
        target = pb.Compare.CompareTarget.Name(message.target).lower()
        where = repr(message.key)
        if message.range_end:
            where += f", {message.range_end!r}"
        operand = getattr(message, message.WhichOneof("target_union") or "value")
        return f"{target}({where}) {_OPERATORS[message.result]} {operand!r}"


class Target(Generic[OperandT]):
    """A field of one key, or of every key in a range, that a transaction compares.

    The operators `==`, `!=`, `<` and `>` return a `Compare`; etcd has no others. With a
    `range_end`, the compare is true if it is true for every key from `key` to `range_end`
    (excluded). Numbers are ints; at run time, whatever `int()` converts is accepted as well.
    """

    __slots__ = ("_key", "_range_end")
    # Any, because typing.get_type_hints of Python 3.10 refuses protobuf's enums.
    _target: ClassVar[Any]
    _field: ClassVar[str]

    def __init__(self, key: bytes | str, range_end: bytes | str | None = None) -> None:
        self._key, self._range_end = _encoded_range(key, range_end)
        if self._range_end:
            # etcd treats an empty range as a key that does not exist.
            check_range_end(self._key, "range_end", self._range_end)

    def _operand(self, other: Any) -> int | bytes:
        return check_whole(self._field, other)

    def _compare(self, result: pb.Compare.CompareResult, other: Any) -> Compare:
        message = pb.Compare(result=result, target=self._target, key=self._key)
        if self._range_end is not None:
            message.range_end = self._range_end
        setattr(message, self._field, self._operand(other))
        return Compare(message)

    def __eq__(self, other: OperandT) -> Compare:  # type: ignore[override]  # returns a Compare
        return self._compare(pb.Compare.EQUAL, other)

    def __ne__(self, other: OperandT) -> Compare:  # type: ignore[override]  # as above
        return self._compare(pb.Compare.NOT_EQUAL, other)

    def __lt__(self, other: OperandT) -> Compare:
        return self._compare(pb.Compare.LESS, other)

    def __gt__(self, other: OperandT) -> Compare:
        return self._compare(pb.Compare.GREATER, other)

    if not TYPE_CHECKING:  # a type checker accepts any operator that has a method

        def __le__(self, other: object) -> NoReturn:
            raise TypeError("etcd compares by ==, !=, < and > only, not by <=")

        def __ge__(self, other: object) -> NoReturn:
            raise TypeError("etcd compares by ==, !=, < and > only, not by >=")

    __hash__ = None  # type: ignore[assignment]  # == does not test for equality

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}) without an operator"


class Value(Target[bytes | str]):
    """The value of a key; every compare is false if the key does not exist."""

    __slots__ = ()
    _target = pb.Compare.VALUE
    _field = "value"

    def _operand(self, other: Any) -> bytes:
        return _encoded("value", other)


class Version(Target[int]):
    """The version of a key: its number of puts since its creation; 0 if it does not exist."""

    __slots__ = ()
    _target = pb.Compare.VERSION
    _field = "version"


class Create(Target[int]):
    """The revision at which a key was created; 0 if it does not exist."""

    __slots__ = ()
    _target = pb.Compare.CREATE
    _field = "create_revision"


class Mod(Target[int]):
    """The revision at which a key was last modified; 0 if it does not exist."""

    __slots__ = ()
    _target = pb.Compare.MOD
    _field = "mod_revision"


class LeaseOf(Target[LeaseLike]):
    """The lease of a key; 0 if it has none or does not exist.

    It is compared with a lease ID or a lease; None means 0.
    """

    __slots__ = ()
    _target = pb.Compare.LEASE
    _field = "lease"

    def _operand(self, other: Any) -> int:
        return check_lease_id(self._field, other, none=True)


class Operation:
    """An operation of a transaction: `Put`, `Get`, `Delete` or `Txn`."""

    __slots__ = ("_message",)

    def __init__(self, message: pb.RequestOp) -> None:
        self._message = message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._message).strip()!r})"


class Put(Operation):
    """Sets the value of a key; the arguments are those of `KVClient.put`."""

    __slots__ = ()

    def __init__(
        self,
        key: bytes | str,
        value: bytes | str,
        lease: LeaseLike | None = None,
        prev_kv: bool = False,
        *,
        ignore_value: bool = False,
        ignore_lease: bool = False,
    ) -> None:
        request = put_request(
            _encoded("key", key),
            _encoded("value", value),
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        )
        super().__init__(pb.RequestOp(request_put=request))


class Get(Operation):
    """Reads a key, or a range if `range_end` is given; see `KVClient.get_range`."""

    __slots__ = ()

    def __init__(
        self,
        key: bytes | str,
        range_end: bytes | str | None = None,
        *,
        sort_order: SortOrder | None = None,
        sort_target: SortTarget = "key",
        limit: int | None = None,
        revision: int | None = None,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        min_mod_revision: int | None = None,
        max_mod_revision: int | None = None,
        min_create_revision: int | None = None,
        max_create_revision: int | None = None,
    ) -> None:
        start, end = _encoded_range(key, range_end)
        request = range_request(
            start,
            end or b"",
            sort_order=sort_order,
            sort_target=sort_target,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        super().__init__(pb.RequestOp(request_range=request))


class Delete(Operation):
    """Deletes a key, or a range if `range_end` is given; see `KVClient.delete_range`."""

    __slots__ = ()

    def __init__(
        self,
        key: bytes | str,
        range_end: bytes | str | None = None,
        prev_kv: bool = False,
    ) -> None:
        request = delete_request(*_encoded_range(key, range_end), prev_kv)
        super().__init__(pb.RequestOp(request_delete_range=request))


class Txn(Operation):
    """A nested transaction; the arguments are those of `KVClient.transaction`."""

    __slots__ = ()

    def __init__(
        self,
        compare: Iterable[Compare] | None,
        success: Iterable[Operation] | None = None,
        failure: Iterable[Operation] | None = None,
    ) -> None:
        super().__init__(pb.RequestOp(request_txn=txn_request(compare, success, failure)))


class Transactions:
    """Builds the compares and the operations of a transaction; see `KVClient.transactions`.

    Compares: `value(key) == b"v"`, `version`, `create`, `mod`, `lease`. Operations: `put`, `get`,
    `delete`, `txn`.
    """

    value = Value
    version = Version
    create = Create
    mod = Mod
    lease = LeaseOf
    put = Put
    get = Get
    delete = Delete
    txn = Txn

    def __repr__(self) -> str:
        return "Transactions()"


def txn_request(
    compare: Iterable[Compare] | None,
    success: Iterable[Operation] | None = None,
    failure: Iterable[Operation] | None = None,
) -> pb.TxnRequest:
    """Build a transaction; None means no compares or no operations."""
    return pb.TxnRequest(
        compare=[_checked_compare(item) for item in _as_list("compare", compare)],
        success=[_checked_operation("success", op) for op in _as_list("success", success)],
        failure=[_checked_operation("failure", op) for op in _as_list("failure", failure)],
    )


def _as_list(name: str, items: Iterable[Any] | None) -> list[Any]:
    if items is None:
        return []
    if isinstance(items, (Compare, Operation, Target, bytes, str)):
        raise TypeError(f"{name} must be a list, not a single {type(items).__name__}")
    try:
        return list(items)
    except TypeError:
        raise TypeError(f"{name} must be a list, not {type(items).__name__}") from None


def _checked_compare(item: object) -> pb.Compare:
    if isinstance(item, Compare):
        return item._message
    if isinstance(item, Target):
        raise ValueError(f"compare: {item!r}: one of ==, !=, < or > is missing")
    raise TypeError(
        f"compare must hold compares such as transactions.value(key) == value,"
        f" not {type(item).__name__}"
    )


def _checked_operation(name: str, item: object) -> pb.RequestOp:
    if isinstance(item, Operation):
        return item._message
    raise TypeError(
        f"{name} must hold operations such as transactions.put(key, value),"
        f" not {type(item).__name__}"
    )
