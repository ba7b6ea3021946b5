"""From arguments to requests: every check that needs no server, and no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final, Protocol, TypedDict

from etcd_channel import prefix_range_end
from etcd_channel.arguments import (
    check_bytes,
    check_choice,
    check_flag,
    check_int,
    check_key,
    check_range_end,
)
from etcd_kv.pb import kv_pb2 as pb

__all__ = [
    "GetOptions",
    "HasId",
    "LeaseLike",
    "PrefixOptions",
    "RangeOptions",
    "ReadOptions",
    "checked_prefix",
    "checked_range",
    "compaction_request",
    "delete_request",
    "get_request",
    "lease_id",
    "put_request",
    "range_request",
]


class HasId(Protocol):
    """A lease as far as a put must know it."""

    @property
    def id(self) -> int: ...


LeaseLike = int | HasId
"""A lease, or its id."""


class ReadOptions(TypedDict, total=False):
    """What can be asked of every read."""

    revision: int | None
    """The revision to read at; None or 0 for the newest."""
    min_mod_revision: int | None
    """Only keys whose last change is not older."""
    max_mod_revision: int | None
    """Only keys whose last change is not newer."""
    min_create_revision: int | None
    """Only keys that came into being no earlier."""
    max_create_revision: int | None
    """Only keys that came into being no later."""


class GetOptions(ReadOptions, total=False):
    """What can be asked of one key beyond the documented arguments."""

    keys_only: bool
    """Leave the value out."""


class PrefixOptions(ReadOptions, total=False):
    """What can be asked of a prefix beyond the documented arguments."""

    limit: int | None
    """The most keys to return; None or 0 for all. `more` tells whether there are others."""
    count_only: bool
    """Count the keys, and return none of them."""
    serializable: bool
    """Let the member answer from what it has, without asking the others: faster, but it
    may be behind."""


class RangeOptions(PrefixOptions, total=False):
    """What can be asked of a range beyond the documented arguments."""

    keys_only: bool
    """Leave the values out."""


_SORT_ORDERS: Final = {
    None: pb.RangeRequest.NONE,
    "ascend": pb.RangeRequest.ASCEND,
    "descend": pb.RangeRequest.DESCEND,
}
_SORT_TARGETS: Final = {
    None: pb.RangeRequest.KEY,
    "key": pb.RangeRequest.KEY,
    "version": pb.RangeRequest.VERSION,
    "create": pb.RangeRequest.CREATE,
    "mod": pb.RangeRequest.MOD,
    "value": pb.RangeRequest.VALUE,
}
_NUMBERS: Final = (
    "limit",
    "revision",
    "min_mod_revision",
    "max_mod_revision",
    "min_create_revision",
    "max_create_revision",
)
_FLAGS: Final = ("keys_only", "count_only", "serializable")
_RANGE_OPTIONS: Final = frozenset((*_NUMBERS, *_FLAGS))
# Of one key there is nothing to limit; counted instead of returned it would look missing.
_GET_OPTIONS: Final = _RANGE_OPTIONS - {"limit", "count_only"}


def get_request(
    key: bytes, serializable: bool = False, options: Mapping[str, Any] | None = None
) -> pb.RangeRequest:
    """Build a read of one key. `options` are those of `GetOptions`."""
    request = pb.RangeRequest(key=check_key("key", key))
    if serializable is not False:
        request.serializable = check_flag("serializable", serializable)
    if options:
        _apply(request, options, _GET_OPTIONS)
    return request


def range_request(
    key: bytes,
    range_end: bytes = b"",
    *,
    sort_order: str | None = None,
    sort_target: str | None = "key",
    options: Mapping[str, Any] | None = None,
) -> pb.RangeRequest:
    """Build a read of the range up to `range_end`, or of a key, both checked already.

    `options` are those of `RangeOptions`.
    """
    request = pb.RangeRequest(key=key, range_end=range_end)
    if sort_order is not None:
        check_choice("sort_order", sort_order, ("ascend", "descend"))
        request.sort_order = _SORT_ORDERS[sort_order]
    if sort_target != "key" and sort_target is not None:
        check_choice("sort_target", sort_target, ("key", "version", "create", "mod", "value"))
        request.sort_target = _SORT_TARGETS[sort_target]
    if options:
        _apply(request, options, _RANGE_OPTIONS)
    return request


def _apply(request: pb.RangeRequest, options: Mapping[str, Any], known: Set[str]) -> None:
    """Set the options that were given; one that is unknown is a `TypeError`."""
    unknown = options.keys() - known
    if unknown:
        raise TypeError(
            f"unexpected keyword argument {min(unknown)!r}: what can be asked for is"
            f" {', '.join(sorted(known))}"
        )
    for name in _NUMBERS:
        number = options.get(name)
        if number is not None:
            setattr(request, name, check_int(name, number))
    for name in _FLAGS:
        flag = options.get(name)
        if flag is not None:
            setattr(request, name, check_flag(name, flag))


def put_request(
    key: bytes,
    value: bytes,
    lease: LeaseLike | None = None,
    prev_kv: bool = False,
    ignore_value: bool = False,
    ignore_lease: bool = False,
) -> pb.PutRequest:
    """Build a put."""
    request = pb.PutRequest(key=check_key("key", key), value=check_bytes("value", value))
    if lease is not None:
        request.lease = lease_id("lease", lease)
    if prev_kv is not False:
        request.prev_kv = check_flag("prev_kv", prev_kv)
    if ignore_value is not False:
        request.ignore_value = check_flag("ignore_value", ignore_value)
        if value:
            raise ValueError("value must be b'' where ignore_value keeps the key's own")
    if ignore_lease is not False:
        request.ignore_lease = check_flag("ignore_lease", ignore_lease)
        if request.lease:
            raise ValueError("lease must be None where ignore_lease keeps the key's own")
    return request


def delete_request(
    key: bytes, range_end: bytes | None = None, prev_kv: bool = False
) -> pb.DeleteRangeRequest:
    """Build the deletion of a key, or of the range up to `range_end`, both checked already."""
    request = pb.DeleteRangeRequest(key=key)
    if range_end is not None:
        request.range_end = range_end
    if prev_kv is not False:
        request.prev_kv = check_flag("prev_kv", prev_kv)
    return request


def compaction_request(revision: int, physical: bool = False) -> pb.CompactionRequest:
    """Build a compaction."""
    return pb.CompactionRequest(
        revision=check_int("revision", revision, minimum=1),
        physical=check_flag("physical", physical),
    )


def lease_id(name: str, lease: object) -> int:
    """Return the id of a lease that was given as its id or as an object with one."""
    if isinstance(lease, int):
        return check_int(name, lease)
    if hasattr(lease, "id"):
        return check_int(f"{name}.id", lease.id)
    raise TypeError(f"{name} must be a lease or its id, not {type(lease).__name__}")


def checked_range(start: bytes, end: bytes) -> tuple[bytes, bytes]:
    """Return the two ends of a range under their documented names."""
    key = check_key("range_start", start)
    return key, check_range_end(key, "range_end", end)


def checked_prefix(prefix: bytes) -> tuple[bytes, bytes]:
    """Return the range of all keys that begin with `prefix`; the empty one is every key's."""
    check_bytes("key_prefix", prefix)
    # A range must begin at a key, and the lowest one is a zero byte.
    return prefix or b"\0", prefix_range_end(prefix)
