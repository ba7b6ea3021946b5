"""The documented helpers for keys, strings and lease ids."""

from __future__ import annotations

from typing import Any

__all__ = ["lease_to_id", "prefix_range_end", "to_bytes"]


def prefix_range_end(prefix: bytes) -> bytes:
    r"""Return the `range_end` with which a range holds exactly the keys that begin with `prefix`.

    It is the first key after all of them: `b"ab"` gives `b"ac"`, `b"ab\xff"` gives `b"ac"`
    too. Where nothing can follow (`b"\xff"`, and the empty prefix, which is every key's) it
    is `b"\0"`, etcd's word for the end of all keys.
    """
    head = prefix.rstrip(b"\xff")
    if not head:
        return b"\0"
    return head[:-1] + bytes((head[-1] + 1,))


def to_bytes(maybe_bytes: bytes | str) -> bytes:
    """Return bytes as they are, and a string in UTF-8."""
    if isinstance(maybe_bytes, bytes):
        return maybe_bytes
    return maybe_bytes.encode("utf-8")


def lease_to_id(lease: Any) -> int:
    """Return the id of a lease: its `id` if it has one, else itself as an int.

    What is no number (None, say) gives 0, etcd's word for no lease.
    """
    if hasattr(lease, "id"):
        return int(lease.id)
    try:
        return int(lease)
    except TypeError:
        return 0
