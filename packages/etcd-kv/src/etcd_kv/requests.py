"""Builds requests from arguments and checks the arguments; no I/O."""

from __future__ import annotations

from typing import Final, Literal, get_args

from etcd_channel import LeaseLike
from etcd_channel.arguments import (
    check_bytes,
    check_choice,
    check_flag,
    check_int,
    check_key,
    check_lease_id,
)
from etcd_kv.pb import kv_pb2 as pb

__all__ = [
    "SortOrder",
    "SortTarget",
    "checked_range",
    "compaction_request",
    "delete_request",
    "put_request",
    "range_request",
    "scan_request",
]


SortOrder = Literal["ascend", "descend"]
"""The order in which the keys of a range are sorted by their `SortTarget`."""

SortTarget = Literal["key", "version", "create", "mod", "value"]
"""The field by which the keys of a range are sorted.

"create" and "mod" are the revisions of a key's creation and of its last modification.
"""

_SORT_ORDERS: Final = {
    "ascend": pb.RangeRequest.ASCEND,
    "descend": pb.RangeRequest.DESCEND,
}
_SORT_TARGETS: Final = {
    "key": pb.RangeRequest.KEY,
    "version": pb.RangeRequest.VERSION,
    "create": pb.RangeRequest.CREATE,
    "mod": pb.RangeRequest.MOD,
    "value": pb.RangeRequest.VALUE,
}


_END_OF_KEYS: Final = b"\0"


def range_request(
    key: bytes,
    range_end: bytes = b"",
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
) -> pb.RangeRequest:
    """Build a read of a key or of a range, whose ends are checked already.

    None is accepted for every option and means its default.
    """
    # Setting fields takes half of the time of the constructor, and few are set by most calls.
    request = pb.RangeRequest()
    request.key = key
    if range_end:
        request.range_end = range_end
    if sort_order is not None:
        check_choice("sort_order", sort_order, get_args(SortOrder))
        request.sort_order = _SORT_ORDERS[sort_order]
    if sort_target != "key" and sort_target is not None:
        check_choice("sort_target", sort_target, get_args(SortTarget))
        request.sort_target = _SORT_TARGETS[sort_target]
    if limit is not None:
        request.limit = check_int("limit", limit)
    if revision is not None:
        request.revision = check_int("revision", revision)
    if min_mod_revision is not None:
        request.min_mod_revision = check_int("min_mod_revision", min_mod_revision)
    if max_mod_revision is not None:
        request.max_mod_revision = check_int("max_mod_revision", max_mod_revision)
    if min_create_revision is not None:
        request.min_create_revision = check_int("min_create_revision", min_create_revision)
    if max_create_revision is not None:
        request.max_create_revision = check_int("max_create_revision", max_create_revision)
    if keys_only is not False and keys_only is not None:
        request.keys_only = check_flag("keys_only", keys_only)
    if count_only is not False and count_only is not None:
        request.count_only = check_flag("count_only", count_only)
    if serializable is not False and serializable is not None:
        request.serializable = check_flag("serializable", serializable)
    return request


def scan_request(
    start: bytes,
    end: bytes,
    *,
    start_after: bytes | None,
    reverse: bool,
    revision: int | None,
    keys_only: bool,
    serializable: bool,
) -> pb.RangeRequest:
    """Build the read of the range of a scan without its limit; the ends are checked already."""
    if not end:
        end = start + b"\0"
    if start_after is not None:
        check_key("start_after", start_after)
        above = None if end == _END_OF_KEYS else end
        low = start
        if check_flag("reverse", reverse):
            above = start_after if above is None else min(above, start_after)
        else:
            low = max(low, start_after + b"\0")
        if above is not None and low >= above:
            # No key is left. Read an empty range within the given one, as the user may do.
            low = above = start if start != _END_OF_KEYS else start + b"\0"
        start, end = low, _END_OF_KEYS if above is None else above
    request = pb.RangeRequest(key=start, range_end=end)
    request.revision = 0 if revision is None else check_int("revision", revision)
    request.keys_only = check_flag("keys_only", keys_only)
    request.serializable = check_flag("serializable", serializable)
    return request


def put_request(
    key: bytes,
    value: bytes,
    lease: LeaseLike | None = None,
    prev_kv: bool = False,
    ignore_value: bool = False,
    ignore_lease: bool = False,
) -> pb.PutRequest:
    """Build a put."""
    request = pb.PutRequest()
    request.key = check_key("key", key)
    request.value = check_bytes("value", value)
    if lease is not None:
        request.lease = check_lease_id("lease", lease, none=True)
    if prev_kv is not False:
        request.prev_kv = check_flag("prev_kv", prev_kv)
    if ignore_value is not False:
        request.ignore_value = check_flag("ignore_value", ignore_value)
        if value:
            raise ValueError("value must be b'' when ignore_value keeps the key's own value")
    if ignore_lease is not False:
        request.ignore_lease = check_flag("ignore_lease", ignore_lease)
        if request.lease:
            raise ValueError("lease must be None when ignore_lease keeps the key's own lease")
    return request


def delete_request(
    key: bytes, range_end: bytes | None = None, prev_kv: bool = False
) -> pb.DeleteRangeRequest:
    """Build the deletion of a key or of a range, whose ends are checked already."""
    request = pb.DeleteRangeRequest()
    request.key = key
    if range_end is not None:
        request.range_end = range_end
    if prev_kv is not False:
        request.prev_kv = check_flag("prev_kv", prev_kv)
    return request


def compaction_request(revision: int, physical: bool = False) -> pb.CompactionRequest:
    """Build a compaction."""
    return pb.CompactionRequest(
        revision=check_int("revision", revision),
        physical=check_flag("physical", physical),
    )


def checked_range(start: bytes, end: bytes | None) -> tuple[bytes, bytes]:
    """Check both ends of a range and return them; the end of a single key is `b""`."""
    return check_key("range_start", start), b"" if end is None else check_bytes("range_end", end)
