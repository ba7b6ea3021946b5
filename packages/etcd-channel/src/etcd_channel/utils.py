"""The documented helpers for keys, strings and lease IDs."""

from __future__ import annotations

from typing import Any

__all__ = ["lease_to_id", "prefix_range_end", "to_bytes"]


def prefix_range_end(prefix: bytes) -> bytes:
    r"""Return the `range_end` of the range of all keys that begin with `prefix`.

    It is the lowest key after that range: `b"ac"` for `b"ab"`, and also for `b"ab\xff"`. If
    there is none, as for `b"\xff"` and for the empty prefix, it is `b"\0"`, by which etcd means
    the end of all keys.
    """
    head = bytes(prefix.rstrip(b"\xff"))
    if not head:
        return b"\0"
    return head[:-1] + bytes((head[-1] + 1,))


def to_bytes(maybe_bytes: bytes | str) -> bytes:
    """Return bytes unchanged, and a string encoded in UTF-8."""
    if isinstance(maybe_bytes, bytes):
        return maybe_bytes
    return maybe_bytes.encode("utf-8")


def lease_to_id(lease: Any) -> int:
    """Return the ID of a lease: `lease.id` if it has that attribute, else `int(lease)`.

    If `lease` cannot be converted, such as None or text that is not a number, the ID is 0, by which
    etcd means no lease.
    """
    if hasattr(lease, "id"):
        return int(lease.id)
    try:
        return int(lease)
    except (OverflowError, TypeError, ValueError):
        return 0
