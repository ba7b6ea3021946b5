"""The asynchronous side of one watch: waiting for it to begin, and for its events."""

from __future__ import annotations

import asyncio

from etcd_watch._streams import WatchStream, WatchStreams
from etcd_watch._subscription import Batch, State, Subscription
from etcd_watch.errors import WatchTimeoutError
from etcd_watch.requests import WatchSpec

__all__ = ["Reader"]


class Reader:
    """Reads one subscription. `streams` is where it is put, `timeout` how long its creation
    may take, in seconds."""

    def __init__(self, spec: WatchSpec, streams: WatchStreams, timeout: float) -> None:
        self._streams = streams
        self._timeout = timeout
        self._news = asyncio.Event()
        self._subscription = Subscription(spec, self._news.set)
        self._stream: WatchStream | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beginning = asyncio.Lock()
        self.begun = False

    @property
    def start_revision(self) -> int:
        return self._subscription.start_revision

    async def begin(self) -> int:
        """Return the watch's number when the server has created it.

        Raises `WatchTimeoutError` when it has not in time, and the server's refusal as
        what it is. Whatever goes wrong, cancellation included, leaves no watcher behind.
        """
        async with self._beginning:
            subscription = self._subscription
            if self._stream is None:
                self._loop = asyncio.get_running_loop()
                self._stream = self._streams.subscribe(subscription)
            stream = self._stream
            try:
                await asyncio.wait_for(self._created(), self._timeout)
            except asyncio.TimeoutError:
                stream.remove(subscription)
                raise WatchTimeoutError(
                    f"the watch was not created within {self._timeout:g} s",
                    method="Watch.Watch",
                ) from stream.last_error
            except asyncio.CancelledError:
                stream.remove(subscription)
                raise
            self.begun = True
            return stream.number(subscription) or subscription.spec.watch_id

    async def _created(self) -> None:
        subscription = self._subscription
        while not subscription.created:
            if subscription.state is State.ENDED:
                if subscription.error is not None:
                    raise subscription.error
                raise WatchTimeoutError("the watch was canceled before it began")
            self._news.clear()
            await self._news.wait()

    async def next_batch(self) -> Batch:
        """Return the next response; `StopAsyncIteration` after a cancel."""
        subscription = self._subscription
        while not subscription.has_batch:
            if subscription.state is State.ENDED:
                if subscription.error is not None:
                    raise subscription.error
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        batch = subscription.pop()
        if subscription.wants_more and self._stream is not None:
            self._stream.drained(subscription)
        return batch

    def request_progress(self) -> None:
        if self._stream is not None:
            self._stream.request_progress(self._subscription)

    async def cancel(self) -> None:
        """End the watch, here and on the server."""
        self._end()

    def abandon(self) -> None:
        """End a watch that nobody holds any more; may be called from any thread."""
        if self._subscription.state is State.ENDED or self._loop is None:
            return
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._stream is not None:
            self._stream.remove(self._subscription)
        self._subscription.end(None)
