"""Turns the arguments of a watch into requests, and checks them."""

from __future__ import annotations

from typing import Final

from etcd_channel.arguments import (
    INT64_MAX,
    check_flag,
    check_int,
    check_key,
    check_prefix,
    check_range_end,
)
from etcd_watch.events import EventKind
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["DEFAULT_BUFFER_BYTES", "WatchSpec", "prefix_ends"]

DEFAULT_BUFFER_BYTES = 8 * 1024 * 1024
"""The memory in bytes, estimated, that unread events may take before a watch is parked."""

_FILTERS = {
    EventKind.PUT: pb.WatchCreateRequest.NODELETE,
    EventKind.DELETE: pb.WatchCreateRequest.NOPUT,
}


class WatchSpec:
    """The checked arguments of a watch, as described by `WatchClient`.

    None becomes the default, so that every attribute has one type. Raises `TypeError` or
    `ValueError` for an invalid argument.
    """

    def __init__(
        self,
        key: bytes,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
        buffer_bytes: int | None = None,
    ) -> None:
        self.key: Final = check_key("key", key)
        if kind is not None and not isinstance(kind, EventKind):
            raise TypeError(f"kind must be an EventKind, not {type(kind).__name__}: {kind!r}")
        self.kind: Final = kind
        self.range_end: Final = (
            b"" if range_end is None else check_range_end(key, "range_end", range_end)
        )
        self.start_revision: Final = (
            0 if start_revision is None else check_int("start_revision", start_revision)
        )
        self.progress_notify: Final = check_flag("progress_notify", progress_notify)
        self.prev_kv: Final = check_flag("prev_kv", prev_kv)
        self.watch_id: Final = (
            0 if watch_id is None else check_int("watch_id", watch_id, maximum=INT64_MAX - 1)
        )
        self.fragment: Final = check_flag("fragment", fragment)
        self.buffer_bytes: Final = (
            DEFAULT_BUFFER_BYTES
            if buffer_bytes is None
            else check_int("buffer_bytes", buffer_bytes, minimum=1)
        )

    def __repr__(self) -> str:
        return f"WatchSpec(key={self.key!r}, range_end={self.range_end!r})"

    def create_request(self, watch_id: int, start_revision: int) -> pb.WatchRequest:
        """Build the request that creates the watch from `start_revision` on."""
        create = pb.WatchCreateRequest(
            key=self.key,
            range_end=self.range_end,
            start_revision=start_revision,
            progress_notify=self.progress_notify,
            prev_kv=self.prev_kv,
            watch_id=watch_id,
            fragment=self.fragment,
        )
        if self.kind is not None:
            create.filters.append(_FILTERS[self.kind])
        return pb.WatchRequest(create_request=create)


def prefix_ends(key_prefix: bytes, range_end: bytes | None) -> tuple[bytes, bytes]:
    """Return the range of all keys that begin with a prefix; a `range_end` replaces its end."""
    start, end = check_prefix("key_prefix", key_prefix)
    return start, end if range_end is None else range_end
