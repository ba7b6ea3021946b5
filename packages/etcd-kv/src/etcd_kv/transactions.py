"""The language of transactions: compares, operations, and transactions within them.

Keys and values may be strings here, which are encoded in UTF-8; the documented helpers
take both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, NoReturn

from etcd_channel import to_bytes
from etcd_channel.arguments import check_int, check_key, check_range_end
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import (
    LeaseLike,
    delete_request,
    lease_id,
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from etcd_kv.requests import RangeOptions

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


def _ends(key: object, range_end: object) -> tuple[bytes, bytes | None]:
    start = check_key("key", _encoded("key", key))
    if range_end is None:
        return start, None
    return start, check_range_end(start, "range_end", _encoded("range_end", range_end))


class Compare:
    """A condition that is ready to be sent; made by comparing a target with something."""

    __slots__ = ("message",)

    def __init__(self, message: pb.Compare) -> None:
        self.message = message

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a compare is neither true nor false before the server has seen it:"
            " list several, instead of joining them by 'and'"
        )

    def __repr__(self) -> str:
        message = self.message
        target = pb.Compare.CompareTarget.Name(message.target).lower()
        where = repr(message.key)
        if message.range_end:
            where += f", {message.range_end!r}"
        operand = getattr(message, message.WhichOneof("target_union") or "value")
        return f"{target}({where}) {_OPERATORS[message.result]} {operand!r}"


class Target:
    """What a condition looks at: something of a key, or of every key in a range.

    `==`, `!=`, `<` and `>` make a `Compare` of it; etcd has no others.
    """

    __slots__ = ("_key", "_range_end")
    _target: ClassVar[pb.Compare.CompareTarget]
    _field: ClassVar[str]

    def __init__(self, key: bytes | str, range_end: bytes | str | None = None) -> None:
        self._key, self._range_end = _ends(key, range_end)

    def _operand(self, other: Any) -> int | bytes:
        return check_int(self._field, other)

    def _compare(self, result: pb.Compare.CompareResult, other: Any) -> Compare:
        message = pb.Compare(result=result, target=self._target, key=self._key)
        if self._range_end is not None:
            message.range_end = self._range_end
        setattr(message, self._field, self._operand(other))
        return Compare(message)

    def __eq__(self, other: Any) -> Compare:  # type: ignore[override]  # a language of its own
        return self._compare(pb.Compare.EQUAL, other)

    def __ne__(self, other: Any) -> Compare:  # type: ignore[override]  # as above
        return self._compare(pb.Compare.NOT_EQUAL, other)

    def __lt__(self, other: Any) -> Compare:
        return self._compare(pb.Compare.LESS, other)

    def __gt__(self, other: Any) -> Compare:
        return self._compare(pb.Compare.GREATER, other)

    def __le__(self, other: Any) -> NoReturn:
        raise TypeError("etcd compares by ==, !=, < and > only, not by <=")

    def __ge__(self, other: Any) -> NoReturn:
        raise TypeError("etcd compares by ==, !=, < and > only, not by >=")

    __hash__ = None  # type: ignore[assignment]  # equality makes a compare

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}) without an operator"


class Value(Target):
    """A key's value; that of a key that does not exist equals nothing."""

    __slots__ = ()
    _target = pb.Compare.VALUE
    _field = "value"

    def _operand(self, other: Any) -> bytes:
        return _encoded("value", other)


class Version(Target):
    """A key's version, its number of puts; 0 if it does not exist."""

    __slots__ = ()
    _target = pb.Compare.VERSION
    _field = "version"


class Create(Target):
    """The revision at which a key came into being; 0 if it does not exist."""

    __slots__ = ()
    _target = pb.Compare.CREATE
    _field = "create_revision"


class Mod(Target):
    """The revision of a key's last change; 0 if it does not exist."""

    __slots__ = ()
    _target = pb.Compare.MOD
    _field = "mod_revision"


class LeaseOf(Target):
    """The lease of a key, as its id or a lease; 0 if it has none or does not exist."""

    __slots__ = ()
    _target = pb.Compare.LEASE
    _field = "lease"

    def _operand(self, other: Any) -> int:
        return lease_id("lease", other)


class Operation:
    """Something that a transaction does; ready to be sent."""

    __slots__ = ("message",)

    def __init__(self, message: pb.RequestOp) -> None:
        self.message = message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.message).strip()!r})"


class Put(Operation):
    """Put a key; the arguments are those of `KVClient.put`."""

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
    """Read a key, or the range up to `range_end`; beyond that as `KVClient.get_range`."""

    __slots__ = ()

    def __init__(
        self,
        key: bytes | str,
        range_end: bytes | str | None = None,
        *,
        sort_order: str | None = None,
        sort_target: str = "key",
        **options: Unpack[RangeOptions],
    ) -> None:
        start, end = _ends(key, range_end)
        request = range_request(
            start, end or b"", sort_order=sort_order, sort_target=sort_target, options=options
        )
        super().__init__(pb.RequestOp(request_range=request))


class Delete(Operation):
    """Delete a key, or the range up to `range_end`."""

    __slots__ = ()

    def __init__(
        self,
        key: bytes | str,
        range_end: bytes | str | None = None,
        prev_kv: bool = False,
    ) -> None:
        request = delete_request(*_ends(key, range_end), prev_kv)
        super().__init__(pb.RequestOp(request_delete_range=request))


class Txn(Operation):
    """A transaction within a transaction; the arguments are those of `KVClient.transaction`."""

    __slots__ = ()

    def __init__(
        self,
        compare: Iterable[Compare] | None,
        success: Iterable[Operation] | None = None,
        failure: Iterable[Operation] | None = None,
    ) -> None:
        super().__init__(pb.RequestOp(request_txn=txn_request(compare, success, failure)))


class Transactions:
    """The words of the language, as `client.transactions` has them."""

    value = Value
    version = Version
    create = Create
    mod = Mod
    lease = LeaseOf
    put = Put
    get = Get
    delete = Delete
    txn = Txn


def txn_request(
    compare: Iterable[Compare] | None,
    success: Iterable[Operation] | None = None,
    failure: Iterable[Operation] | None = None,
) -> pb.TxnRequest:
    """Build a transaction; None stands for no compares, or nothing to do."""
    return pb.TxnRequest(
        compare=[_checked_compare(item) for item in _listed("compare", compare)],
        success=[_checked_operation("success", op) for op in _listed("success", success)],
        failure=[_checked_operation("failure", op) for op in _listed("failure", failure)],
    )


def _listed(name: str, items: Iterable[Any] | None) -> list[Any]:
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
        return item.message
    if isinstance(item, Target):
        raise ValueError(f"compare: {item!r}: one of ==, !=, < or > is missing")
    raise TypeError(
        f"compare must hold compares such as transactions.value(key) == value,"
        f" not {type(item).__name__}"
    )


def _checked_operation(name: str, item: object) -> pb.RequestOp:
    if isinstance(item, Operation):
        return item.message
    raise TypeError(
        f"{name} must hold operations such as transactions.put(key, value),"
        f" not {type(item).__name__}"
    )
