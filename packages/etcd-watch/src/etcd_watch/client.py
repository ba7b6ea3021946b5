"""The watch service: what a program calls."""

from __future__ import annotations

import asyncio

from etcd_channel import Service
from etcd_channel.arguments import check_timeout
from etcd_watch._reader import Reader
from etcd_watch._streams import WatchStreams
from etcd_watch.events import Event, EventKind
from etcd_watch.requests import WatchSpec, prefix_ends, watch_spec
from etcd_watch.watch import Watch

__all__ = ["WatchClient"]


class WatchClient(Service):
    r"""etcd's watch service on a channel.

    The arguments that all four methods share: `range_end` ends the range to watch, without
    it one key is watched; `b"\0"` as the end stands for the end of all keys.
    `start_revision` is the first revision whose events are told; None or 0 for those after
    the watch began. `progress_notify` has the server tell from time to time how far the
    watch is, where there are no events; see `Watch.responses`. `kind` leaves one kind of
    event out at the server. `prev_kv` tells each key as it was before, too. `watch_id` is
    the number that the server shall know the watch by; one in use is refused.
    `fragment` lets the server split large responses, which are put together again here.

    `buffer_bytes` is about how much memory may be taken by what waits for the reader, before
    the watch is parked, see `Watch`; None for 8 MiB. One response more than that is kept, and
    a server that has a past to tell sends up to a thousand revisions in one, unless
    `fragment` lets it split them. Watches that are many are spread over several streams.
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

        Await the watch, iterate over it, or enter it: each begins it. `timeout` is the
        number of seconds that this may take, None the channel's; then
        `WatchTimeoutError` is raised. Events may be waited for as long as it takes.
        """
        return self._watch(
            watch_spec(
                key,
                range_end,
                start_revision,
                progress_notify,
                kind,
                prev_kv,
                watch_id,
                fragment,
                buffer_bytes,
            ),
            timeout,
        )

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
        """Watch all keys that begin with `key_prefix`; the empty prefix is every key's.

        `range_end` ends the range somewhere else. The rest is as in `watch`.
        """
        return self._watch(
            watch_spec(
                *prefix_ends(key_prefix, range_end),
                start_revision,
                progress_notify,
                kind,
                prev_kv,
                watch_id,
                fragment,
                buffer_bytes,
            ),
            timeout,
        )

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

        `timeout` is the number of seconds to wait, None for ever; then
        `WatchTimeoutError` is raised. No watcher is left behind, whatever happens.
        """
        spec = watch_spec(
            key,
            range_end,
            start_revision,
            progress_notify,
            kind,
            prev_kv,
            watch_id,
            fragment,
        )
        return await self._once(spec, timeout)

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
        """Wait for one event of the keys that begin with `key_prefix`, as `watch_once`."""
        spec = watch_spec(
            *prefix_ends(key_prefix, range_end),
            start_revision,
            progress_notify,
            kind,
            prev_kv,
            watch_id,
            fragment,
        )
        return await self._once(spec, timeout)

    def _watch(self, spec: WatchSpec, timeout: float | None) -> Watch:
        return Watch._of(self._reader(spec, timeout))

    def _reader(self, spec: WatchSpec, timeout: float | None) -> Reader:
        seconds = self._channel.timeout if timeout is None else check_timeout("timeout", timeout)
        return Reader(spec, self._channel.shared(WatchStreams), seconds)

    async def _once(self, spec: WatchSpec, timeout: float | None) -> Event:
        reader = self._reader(spec, timeout)
        watch = Watch._of(reader)
        timer = None
        if timeout is not None:
            timer = asyncio.get_running_loop().call_later(
                timeout, reader.give_up, f"no event came within {timeout:g} s"
            )
        try:
            return await watch.__anext__()
        finally:
            if timer is not None:
                timer.cancel()
            await watch.cancel()
