"""The client of the watch service."""

from __future__ import annotations

import asyncio

from etcd_channel import Service
from etcd_channel.arguments import check_timeout, check_wait
from etcd_watch._reader import Reader
from etcd_watch._streams import WatchStreams
from etcd_watch.events import Event, EventKind
from etcd_watch.requests import WatchSpec, prefix_ends
from etcd_watch.watch import Watch

__all__ = ["WatchClient"]


class WatchClient(Service):
    r"""etcd's watch service on a channel.

    The methods share these arguments. `range_end` is the end of the range to watch,
    exclusive: None watches the one key, `b"\0"` means the end of all keys. `start_revision`
    is the first revision to watch, inclusive; None or 0 starts after the creation of the
    watch. With `progress_notify` the server sends progress responses while there are no
    events, see `Watch.responses`. `kind` is the only kind of event that the server sends,
    None means both. `prev_kv` adds the previous key-value pair to each event. `watch_id` is
    the ID of the watch on the server; an ID that is in use is refused. `fragment` lets the
    server split large responses; they are put together again here.

    `buffer_bytes` limits the memory of unread events, in estimated bytes: beyond it the watch is
    parked, see `Watch`. None means 8 MiB. The buffer may exceed the limit by one response, and a
    response with past events has up to a thousand revisions unless `fragment` is set. Many watches
    are spread over several streams. Invalid arguments raise `TypeError` or `ValueError`.
    """

    def watch(
        self,
        key: bytes,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
        *,
        buffer_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Watch a key, or a range of keys.

        Awaiting the watch, entering it or iterating over it creates it on the server. That may take
        `timeout` seconds, None means the channel's timeout; after that `WatchTimeoutError` is
        raised. There is no timeout for events.
        """
        options = (start_revision, progress_notify, kind, prev_kv, watch_id, fragment)
        spec = WatchSpec(key, range_end, *options, buffer_bytes)
        return self._watch("watch", spec, timeout)

    def watch_prefix(
        self,
        key_prefix: bytes,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
        *,
        buffer_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Watch all keys that begin with `key_prefix`; the empty prefix matches every key.

        `range_end` replaces the end of the range. Otherwise like `watch`.
        """
        start, end = prefix_ends(key_prefix, range_end)
        options = (start_revision, progress_notify, kind, prev_kv, watch_id, fragment)
        spec = WatchSpec(start, end, *options, buffer_bytes)
        return self._watch("watch_prefix", spec, timeout)

    async def watch_once(
        self,
        key: bytes,
        timeout: float | None = None,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
    ) -> Event:
        """Wait for one event of a key, or of a range of keys, and return it.

        Raises `WatchTimeoutError` if no event comes within `timeout` seconds; None waits
        without limit. With 0 or less it waits until the server has created the watch, and
        returns an event only if the server sent it right away. The watch is always canceled
        on the server, also on error and cancellation.
        """
        options = (start_revision, progress_notify, kind, prev_kv, watch_id, fragment)
        return await self._once(WatchSpec(key, range_end, *options), timeout)

    async def watch_prefix_once(
        self,
        key_prefix: bytes,
        timeout: float | None = None,
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
    ) -> Event:
        """Wait for one event of the keys that begin with `key_prefix`, like `watch_once`."""
        start, end = prefix_ends(key_prefix, range_end)
        options = (start_revision, progress_notify, kind, prev_kv, watch_id, fragment)
        return await self._once(WatchSpec(start, end, *options), timeout)

    def _watch(self, method: str, spec: WatchSpec, timeout: float | None) -> Watch:
        reader = self._reader(spec, timeout)
        reader.warn_if_forgotten(f"{type(self).__name__}.{method}")
        return Watch._of(reader)

    def _reader(self, spec: WatchSpec, timeout: float | None) -> Reader:
        seconds = self._channel.timeout if timeout is None else check_timeout("timeout", timeout)
        return Reader(spec, self._channel.shared(WatchStreams), seconds)

    async def _once(self, spec: WatchSpec, timeout: float | None) -> Event:
        wait = check_wait("timeout", timeout)
        reader = self._reader(spec, wait or None)
        watch = Watch._of(reader)
        timer = None
        if wait:
            timer = asyncio.get_running_loop().call_later(
                wait, reader.time_out, f"no event came within {wait:g} s"
            )
        try:
            if wait == 0:
                _ = await watch
                # Events that have arrived are still read.
                reader.time_out("there was no event")
            return await watch.__anext__()
        finally:
            if timer is not None:
                timer.cancel()
            await watch.cancel()
