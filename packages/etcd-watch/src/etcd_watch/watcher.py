"""The documented watcher: events handed to callbacks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from etcd_channel import Channel, ClientError, Service
from etcd_channel.arguments import check_timeout
from etcd_watch._reader import Reader
from etcd_watch._streams import WatchStreams
from etcd_watch.events import Event, EventKind
from etcd_watch.requests import watch_spec
from etcd_watch.watch import Watch

__all__ = ["Watcher", "WatcherCallback"]

_log = logging.getLogger("etcd_watch")


class WatcherCallback:
    """A callback, and the watch whose events it gets."""

    callback: Callable[[Event | Exception], Any]
    """Called with each event; with the error when one ends the watch."""
    watch_id: int | None
    """The number of the watch; None before the server has created it."""
    prev_kv: bool
    """Whether events tell the key as it was before."""
    error: Exception | None
    """What ended the watch; None while it goes on, and after a cancel."""

    def __init__(self, callback: Callable[[Event | Exception], Any]) -> None:
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        self.callback = callback
        self.watch_id = None
        self.prev_kv = False
        self.error = None

    async def _call(self, event_or_error: Event | Exception) -> None:
        try:
            result = self.callback(event_or_error)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _log.exception("the callback of watch %s failed", self.watch_id)


class Watcher:
    """Watches keys and ranges, and calls back with their events.

    `watchstub` is what serves the watch RPC: a `Channel`, or a service client on one.
    `timeout` is the number of seconds that the creation of a watch may take, None the
    channel's. `metadata` are pairs that go with each opening of the stream.

    Each callback has its watch read by a task of its own: one that is slow, or raises,
    which is logged, does not hold up the others. A callback may be a plain function or a
    coroutine function. `shutdown` ends all watches and awaits all tasks.
    """

    def __init__(
        self,
        watchstub: Channel | Service,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        channel = watchstub.channel if isinstance(watchstub, Service) else watchstub
        if not isinstance(channel, Channel):
            raise TypeError(
                "watchstub must be a Channel or a service client on one,"
                f" not {type(watchstub).__name__}"
            )
        self._timeout = channel.timeout if timeout is None else check_timeout("timeout", timeout)
        self._streams = WatchStreams(channel, tuple(metadata or ()))
        self._readers: dict[int, tuple[Watch, asyncio.Task[None]]] = {}

    async def setup(self) -> None:
        """Do nothing: the first callback opens the stream."""

    async def shutdown(self) -> None:
        """End all watches; return when the last callback has returned."""
        readers, self._readers = self._readers, {}
        for watch, _ in readers.values():
            await watch.cancel()
        tasks = [task for _, task in readers.values() if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks)
        await self._streams.close()

    async def add_callback(
        self,
        key: bytes,
        callback: Callable[[Event | Exception], Any],
        range_end: bytes | None = None,
        start_revision: int | None = None,
        progress_notify: bool = False,
        kind: EventKind | None = None,
        prev_kv: bool = False,
        watch_id: int | None = None,
        fragment: bool = False,
    ) -> WatcherCallback:
        """Watch a key, or a range, and call back with its events; return when that began.

        The arguments are those of `WatchClient.watch`. When an error ends the watch, the
        callback gets it as its last call.
        """
        watcher_callback = WatcherCallback(callback)
        watcher_callback.prev_kv = prev_kv
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
        watch = await Watch._of(Reader(spec, self._streams, self._timeout))
        watcher_callback.watch_id = watch.watch_id
        task = asyncio.create_task(self._serve(watch, watcher_callback))
        self._readers[watch.watch_id] = (watch, task)
        task.add_done_callback(lambda _: self._readers.pop(watch.watch_id, None))
        return watcher_callback

    async def cancel(self, watch_id: int) -> None:
        """End a watch by its number; nothing happens if there is none."""
        found = self._readers.get(watch_id)
        if found is not None:
            await found[0].cancel()

    async def _serve(self, watch: Watch, watcher_callback: WatcherCallback) -> None:
        try:
            async for event in watch:
                await watcher_callback._call(event)
        except ClientError as error:
            watcher_callback.error = error
            await watcher_callback._call(error)
