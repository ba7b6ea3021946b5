"""From arguments to requests: what is watched, and the checks that need no server."""

from __future__ import annotations

from dataclasses import dataclass

from etcd_channel import prefix_range_end
from etcd_channel.arguments import (
    INT64_MAX,
    check_bytes,
    check_flag,
    check_int,
    check_key,
    check_range_end,
)
from etcd_watch.events import EventKind
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["DEFAULT_BUFFER_BYTES", "WatchSpec", "prefix_ends", "watch_spec"]

DEFAULT_BUFFER_BYTES = 8 * 1024 * 1024
"""About how much memory is taken by what waits for its reader, before a watch is parked."""

_FILTERS = {
    EventKind.PUT: pb.WatchCreateRequest.NODELETE,
    EventKind.DELETE: pb.WatchCreateRequest.NOPUT,
}


@dataclass(frozen=True)
class WatchSpec:
    """What a watch asks for, checked."""

    key: bytes
    range_end: bytes = b""
    start_revision: int = 0
    progress_notify: bool = False
    kind: EventKind | None = None
    prev_kv: bool = False
    watch_id: int = 0
    fragment: bool = False
    buffer_bytes: int = DEFAULT_BUFFER_BYTES

    def create_request(self, watch_id: int, start_revision: int) -> pb.WatchRequest:
        """Build the request that creates the watch, or creates it again further on."""
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


def watch_spec(
    key: bytes,
    range_end: bytes | None = None,
    start_revision: int | None = None,
    progress_notify: bool = False,
    kind: EventKind | None = None,
    prev_kv: bool = False,
    watch_id: int | None = None,
    fragment: bool = False,
    buffer_bytes: int | None = None,
) -> WatchSpec:
    """Check what is to be watched."""
    check_key("key", key)
    if kind is not None and not isinstance(kind, EventKind):
        raise TypeError(f"kind must be an EventKind, not {type(kind).__name__}: {kind!r}")
    return WatchSpec(
        key=key,
        range_end=b"" if range_end is None else check_range_end(key, "range_end", range_end),
        start_revision=(
            0 if start_revision is None else check_int("start_revision", start_revision)
        ),
        progress_notify=check_flag("progress_notify", progress_notify),
        kind=kind,
        prev_kv=check_flag("prev_kv", prev_kv),
        watch_id=(
            0 if watch_id is None else check_int("watch_id", watch_id, maximum=INT64_MAX - 1)
        ),
        fragment=check_flag("fragment", fragment),
        buffer_bytes=(
            DEFAULT_BUFFER_BYTES
            if buffer_bytes is None
            else check_int("buffer_bytes", buffer_bytes, minimum=1)
        ),
    )


def prefix_ends(key_prefix: bytes, range_end: bytes | None) -> tuple[bytes, bytes]:
    """Return the ends of a range of all keys that begin with a prefix, unless one is given.

    The empty prefix is every key's.
    """
    check_bytes("key_prefix", key_prefix)
    return key_prefix or b"\0", prefix_range_end(key_prefix) if range_end is None else range_end
