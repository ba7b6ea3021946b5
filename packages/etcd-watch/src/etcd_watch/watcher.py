"""The documented watcher: passes events to callbacks."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from etcd_channel import (
    ChannelLike,
    ClientClosedError,
    ClientError,
    NonCopyable,
    Service,
    channel_of,
)
from etcd_channel.arguments import check_timeout
from etcd_channel.tasks import finish
from etcd_watch._reader import Reader
from etcd_watch._streams import WatchStreams
from etcd_watch.events import Event, EventKind
from etcd_watch.requests import WatchSpec
from etcd_watch.watch import Watch

__all__ = ["Watcher", "WatcherCallback"]

_log = logging.getLogger("etcd_watch")


class _Call:
    """A call of a callback, and the task that makes it; None when the callback has returned."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self.task = task


# The call that this code is part of. The tasks that a callback starts inherit it, such as the one
# in which `asyncio.wait_for` runs `shutdown` before Python 3.12.
_current_call: ContextVar[_Call | None] = ContextVar("etcd_watch_call", default=None)


class WatcherCallback(NonCopyable):
    """A callback and the watch whose events it receives."""

    callback: Callable[[Event | Exception], Any]
    """Called with each event, and with the error if one ends the watch."""
    watch_id: int | None
    """The ID of the watch; None before the server has created it."""
    prev_kv: bool
    """Whether events have the previous key-value pair."""
    error: Exception | None
    """The error that ended the watch; None while it is active, and after `cancel`."""

    def __init__(self, callback: Callable[[Event | Exception], Any]) -> None:
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        self.callback = callback
        self.watch_id = None
        self.prev_kv = False
        self.error = None

    async def _call(self, event_or_error: Event | Exception) -> None:
        call = _Call(asyncio.current_task())
        _current_call.set(call)
        try:
            result = self.callback(event_or_error)
            if inspect.isawaitable(result):
                await result
        except Exception:
            _log.exception("the callback of watch %s failed", self.watch_id)
        finally:
            call.task = None

    def __repr__(self) -> str:
        return f"WatcherCallback(watch_id={self.watch_id}, error={self.error!r})"


class Watcher(NonCopyable):
    """Watches keys and ranges, and calls callbacks with their events.

    `watchstub` is a `Channel`, a view, or a service client on one. The creation of a watch
    may take `timeout` seconds, None means the channel's timeout. `metadata` is a sequence of
    (str, str) pairs that is sent when a stream is opened.

    Each callback has a task of its own, so that a slow callback does not delay the others. A
    callback may be a plain function or a coroutine function; an exception that it raises is
    logged. `shutdown` ends all watches and waits for all tasks; callbacks may be added again
    after it.
    """

    def __init__(
        self,
        watchstub: ChannelLike | Service,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        channel = channel_of(watchstub, "watchstub")
        self._channel = channel
        self._timeout = channel.timeout if timeout is None else check_timeout("timeout", timeout)
        self._metadata = _check_metadata(metadata)
        self._streams = WatchStreams(channel, self._metadata)
        self._watches: dict[int, Watch] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        # The tasks whose callback is calling `shutdown`, once for each such call.
        self._shutting_down: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        endpoints = ", ".join(self._channel.endpoints)
        return f"Watcher({endpoints}, watches={sorted(self._watches)})"

    async def setup(self) -> None:
        """Do nothing: the first callback opens the stream."""

    async def shutdown(self) -> None:
        """End all watches, and wait until the last callback has returned.

        A callback may call it, and is not waited for. An `add_callback` that is in progress raises
        `ClientClosedError`. On cancellation the watches still end, but the callbacks are not waited
        for.
        """
        streams, self._streams = self._streams, WatchStreams(self._channel, self._metadata)
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            await watch.cancel()
        await finish(streams.close())
        call = _current_call.get()
        here = call.task if call is not None else None
        if here is not None:
            self._shutting_down.append(here)
        try:
            tasks = self._tasks.difference(self._shutting_down)
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if here is not None:
                self._shutting_down.remove(here)

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
        """Watch a key or a range, and call `callback` with each event.

        Returns when the server has created the watch. The other arguments are those of
        `WatchClient`. If an error ends the watch, the last call of the callback gets it.
        """
        watcher_callback = WatcherCallback(callback)
        options = (start_revision, progress_notify, kind, prev_kv, watch_id, fragment)
        spec = WatchSpec(key, range_end, *options)
        watcher_callback.prev_kv = prev_kv
        streams = self._streams
        watch = await Watch._of(Reader(spec, streams, self._timeout))
        if streams is not self._streams:
            await watch.cancel()
            raise ClientClosedError("the watcher was shut down")
        watcher_callback.watch_id = watch.watch_id
        self._watches[watch.watch_id] = watch
        task = asyncio.create_task(
            self._serve(watch, watcher_callback), name=f"etcd watch {watch.watch_id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return watcher_callback

    async def cancel(self, watch_id: int) -> None:
        """End the watch with this ID; does nothing if there is none."""
        watch = self._watches.pop(watch_id, None)
        if watch is not None:
            await watch.cancel()

    async def _serve(self, watch: Watch, watcher_callback: WatcherCallback) -> None:
        try:
            async for event in watch:
                await watcher_callback._call(event)
        except ClientError as error:
            watcher_callback.error = error
            await watcher_callback._call(error)
        finally:
            await watch.cancel()
            # Another watch may have the ID by now.
            if self._watches.get(watch.watch_id) is watch:
                del self._watches[watch.watch_id]


def _check_metadata(metadata: object) -> tuple[tuple[str, str], ...]:
    if metadata is None:
        return ()
    if isinstance(metadata, (list, tuple)):
        pairs = tuple(tuple(pair) for pair in metadata if isinstance(pair, (list, tuple)))
        if len(pairs) == len(metadata) and all(map(_is_pair_of_text, pairs)):
            return pairs
    raise TypeError("metadata must be a sequence of (str, str) pairs")


def _is_pair_of_text(pair: tuple[object, ...]) -> bool:
    return len(pair) == 2 and all(isinstance(part, str) for part in pair)
