"""The asynchronous side of one watch: waits for its creation and for its events."""

from __future__ import annotations

import asyncio
import copy
import sys
import warnings
from collections.abc import Iterable, Iterator

from etcd_channel import ClientClosedError, ClientError
from etcd_channel.errors import WatchCanceledError
from etcd_channel.tasks import expected
from etcd_watch._streams import WatchStream, WatchStreams
from etcd_watch._subscription import Batch, State, Subscription
from etcd_watch.errors import WatchTimeoutError
from etcd_watch.events import Event, event_from
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec
from etcd_watch.rpcs import WATCH

__all__ = ["Reader"]

# Seconds after which a progress request is repeated. A server does not answer it while a watch of
# the stream lags behind or is ahead of the store (etcd issues 17507 and 20221). A watch that is
# ahead is created again instead: the response to the creation has the store's revision.
_PROGRESS_RETRY_INTERVAL = 1.0


class Reader:
    """Reads one subscription; several tasks may use it at the same time.

    The first use puts the subscription on one of `streams`. Its creation may take `timeout`
    seconds from then on. A timeout is a timer that ends the subscription: `asyncio.wait_for`,
    before Python 3.12, loses a cancellation that arrives together with the result.
    """

    def __init__(self, spec: WatchSpec, streams: WatchStreams, timeout: float) -> None:
        self._streams = streams
        self._timeout = timeout
        self._changed = asyncio.Event()
        self._subscription = Subscription(spec, self._wake)
        self._begin_cancelled = False
        # The response that is being read event by event, and the rest of its events. They are kept
        # here, so that they are not lost with the task or loop that read the first ones.
        self._response = pb.WatchResponse()
        self._left: Iterator[pb.Event] = iter(())
        self.left: Iterator[Event] = iter(())
        """The rest of the events of the response that is being read."""
        # The public method that made the watch, as long as dropping the watch is a mistake.
        self._forgotten: str | None = None
        # All None before the first use.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream: WatchStream | None = None
        self._creation_timer: asyncio.TimerHandle | None = None
        self._progress_timer: asyncio.TimerHandle | None = None

    @property
    def watch_id(self) -> int:
        return self._subscription.watch_id

    @property
    def start_revision(self) -> int:
        return self._subscription.start_revision

    # Reading ---------------------------------------------------------------------------

    async def begin(self) -> None:
        """Wait until the server has created the watch.

        Raises `WatchTimeoutError` after the timeout, and the error for the server's reason if
        it refuses. Cancellation ends the watch, for all tasks that wait for it.
        """
        try:
            await self.wait_created()
        except asyncio.CancelledError:
            self._begin_cancelled = True
            self._end(WatchCanceledError("the watch was canceled while it was being created"))
            raise

    async def wait_created(self) -> None:
        """Like `begin`, but cancellation does not end the watch."""
        subscription = self._subscription
        self._subscribe()
        while self._begin_cancelled or not subscription.created:
            if subscription.state is State.ENDED:
                raise self._error() or WatchCanceledError("the watch was canceled")
            await self._wait()

    async def next_event(self) -> Event:
        """Return the next event. Raises `StopAsyncIteration` after `cancel`.

        Cancellation loses no event: one is taken only when the task runs again.
        """
        self._subscribe()
        while (event := next(self.left, None)) is None:
            if self._subscription.has_batch:
                self._read(*self._pop())
                # Other waiting tasks may take some of the events.
                self._changed.set()
            else:
                await self._wait_for_more()
        return event

    async def next_batch(self) -> Batch:
        """Return the next response, or the remaining events of the current one.

        Raises `StopAsyncIteration` after `cancel`; cancellation loses no event.
        """
        self._subscribe()
        while not (left := list(self._left)):
            if self._subscription.has_batch:
                return self._pop()
            await self._wait_for_more()
        return self._response, left

    def _read(self, response: pb.WatchResponse, events: Iterable[pb.Event]) -> None:
        """Let `left` be the events of this response."""
        self._response, self._left = response, iter(events)
        # An event that is taken costs one call in Python, that of `event_from`.
        self.left = map(event_from, self._left)

    async def _wait_for_more(self) -> None:
        """Wait for a batch, or for events of another task's; raise if the watch has ended."""
        if self._subscription.state is State.ENDED:
            raise self._error() or StopAsyncIteration
        await self._wait()

    async def _wait(self) -> None:
        # In a forked child, nothing would ever wake the wait.
        self._streams.check_usable()
        self._changed.clear()
        await self._changed.wait()

    def _pop(self) -> Batch:
        batch = self._subscription.pop()
        stream = self._stream
        if stream is not None:
            if stream.observer.listening:
                stream.measure_lag(batch)
            if self._subscription.is_drained:
                stream.resume(self._subscription)
        return batch

    def request_progress(self) -> None:
        """Send a progress request, and repeat it until it is answered."""
        self._subscription.want_progress()
        self._send_progress_request()

    # Ending ----------------------------------------------------------------------------

    async def cancel(self) -> None:
        """End the watch, here and on the server."""
        self._read(pb.WatchResponse(), ())
        self._end(None)

    def time_out(self, what: str) -> None:
        """End the watch with a `WatchTimeoutError`, raised after the unread events."""
        error = WatchTimeoutError(what, method=WATCH.name)
        if self._stream is not None:
            error.__cause__ = last = self._stream.last_error
            if last is not None:
                error.hint = f"the last error before: {last}"
        self._end(error)

    def warn_if_forgotten(self, name: str) -> None:
        """Warn if the watch is dropped at once without any use; `name` is the method that made it.

        A watch that is dropped in a later iteration of the loop may belong to a task that was
        cancelled before its first step, which is no mistake.
        """
        self._forgotten = name
        try:
            asyncio.get_running_loop().call_soon(setattr, self, "_forgotten", None)
        except RuntimeError:
            pass  # It is made outside of a loop, to be used in one later.

    def abandon(self) -> None:
        """End a watch whose last reference was dropped; may be called from any thread."""
        if self._subscription.state is State.ENDED:
            return
        if self._loop is None:
            if self._forgotten is not None and not sys.is_finalizing():
                unused = "was never awaited, entered or iterated over"
                warnings.warn(f"watch '{self._forgotten}' {unused}", RuntimeWarning, stacklevel=3)
            return
        try:
            self._loop.call_soon_threadsafe(self._end, None)
        except RuntimeError:
            pass  # The loop is closed, and so are the streams.

    # -----------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        if self._stream is None and self._subscription.state is not State.ENDED:
            self._forgotten = None
            loop = asyncio.get_running_loop()
            self._stream = self._streams.subscribe(self._subscription)
            self._loop = loop
            self._creation_timer = loop.call_later(self._timeout, self._time_out_creation)

    def _wake(self) -> None:
        self._changed.set()
        if self._creation_timer is not None and self._subscription.created:
            self._creation_timer.cancel()
            self._creation_timer = None

    def _error(self) -> ClientError | None:
        """Return a copy of the error that ended the watch.

        Each reader gets its own, because raising an exception changes it: it collects the
        traceback and the context.
        """
        error = self._subscription.error
        if error is None:
            return None
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        if isinstance(own, ClientClosedError):
            expected(own)
        return own

    def _time_out_creation(self) -> None:
        self._creation_timer = None
        if not self._subscription.created:
            self.time_out(f"the watch was not created within {self._timeout:g} s")

    def _send_progress_request(self, *, again: bool = False) -> None:
        self._cancel_progress_timer()
        subscription, stream = self._subscription, self._stream
        if stream is None or self._loop is None or subscription.state is State.ENDED:
            return
        if not subscription.progress_wanted:
            return
        if subscription.state is State.OPEN:
            if again and subscription.is_ahead:
                stream.create_again(subscription)
            else:
                stream.request_progress()
        self._progress_timer = self._loop.call_later(_PROGRESS_RETRY_INTERVAL, self._retry_progress)

    def _retry_progress(self) -> None:
        self._send_progress_request(again=True)

    def _cancel_progress_timer(self) -> None:
        if self._progress_timer is not None:
            self._progress_timer.cancel()
            self._progress_timer = None

    def _end(self, error: ClientError | None) -> None:
        if self._creation_timer is not None:
            self._creation_timer.cancel()
            self._creation_timer = None
        self._cancel_progress_timer()
        if self._stream is not None:
            self._stream.remove(self._subscription, error)
        self._subscription.end(error)
