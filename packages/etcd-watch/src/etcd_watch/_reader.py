"""The asynchronous side of one watch: waiting for it to begin, and for its events."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence

from etcd_channel import ClientError
from etcd_channel.errors import WatchCanceledError
from etcd_watch._streams import WatchStream, WatchStreams
from etcd_watch._subscription import Batch, State, Subscription
from etcd_watch.errors import WatchTimeoutError
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.requests import WatchSpec
from etcd_watch.rpcs import WATCH

__all__ = ["Reader"]

# A server does not answer a request for progress while one of the stream's watches is behind, or
# ahead of the store (etcd issues 17507 and 20221): it is asked again until it does, every so many
# seconds; and a watch that is ahead is created again, which tells where the store is.
_ASK_AGAIN = 1.0


class Reader:
    """Reads one subscription, for as many tasks as like to.

    `streams` is where it is put at the first use, `timeout` how long its creation may take
    from then on, in seconds. Timeouts are timers that end the subscription, not tasks that
    are cancelled: so a result and a cancellation never meet in `asyncio.wait_for`, which
    before Python 3.12 drops one of them.
    """

    def __init__(self, spec: WatchSpec, streams: WatchStreams, timeout: float) -> None:
        self._streams = streams
        self._timeout = timeout
        self._news = asyncio.Event()
        self._subscription = Subscription(spec, self._wake)
        self._given_up = False
        # The response of which single events are read, and how far: kept here, so that none is
        # lost with the task or the loop that read the first ones.
        self._response = pb.WatchResponse()
        self._events: Sequence[pb.Event] = ()
        self._next = self._end_of_events = 0
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
        """Return when the server has created the watch.

        Raises `WatchTimeoutError` when it has not in time, and a refusal of the server as
        what it is. Cancellation ends the watch, for others that wait for it as well.
        """
        try:
            await self.wait_created()
        except asyncio.CancelledError:
            self._given_up = True
            self._end(WatchCanceledError("the watch was given up while it began"))
            raise

    async def wait_created(self) -> None:
        """As `begin`, but cancellation leaves the watch as it is."""
        subscription = self._subscription
        self._subscribe()
        while self._given_up or not subscription.created:
            if subscription.state is State.ENDED:
                raise self._error() or WatchCanceledError("the watch was canceled")
            await self._wait()

    def take_event(self) -> pb.Event | None:
        """Return an event of the response that is being read; None if there is none left."""
        position = self._next
        if position == self._end_of_events:
            return None
        self._next = position + 1
        return self._events[position]

    async def next_event(self) -> pb.Event:
        """Return the next event; `StopAsyncIteration` after a cancel.

        Cancellation loses nothing: an event is taken when the task runs again, or not.
        """
        while (event := self.take_event()) is None:
            await self._until_something_is_there()
            if self._next == self._end_of_events:
                self._response, self._events = self._pop()
                self._next, self._end_of_events = 0, len(self._events)
                # Other tasks that wait take some of them too.
                self._news.set()
        return event

    async def next_batch(self) -> Batch:
        """Return the next response; the rest is as with `next_event`."""
        await self._until_something_is_there()
        if self._next < self._end_of_events:
            left, self._next = self._events[self._next :], self._end_of_events
            return self._response, left
        return self._pop()

    async def _until_something_is_there(self) -> None:
        subscription = self._subscription
        self._subscribe()
        while self._next == self._end_of_events and not subscription.has_batch:
            if subscription.state is State.ENDED:
                raise self._error() or StopAsyncIteration
            await self._wait()

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _pop(self) -> Batch:
        batch = self._subscription.pop()
        if self._subscription.is_drained and self._stream is not None:
            self._stream.go_on(self._subscription)
        return batch

    def request_progress(self) -> None:
        """Ask for a progress response, until there is one."""
        if self._subscription.state is not State.ENDED:
            self._subscription.progress_wanted += 1
            self._ask_for_progress()

    # Ending ----------------------------------------------------------------------------

    async def cancel(self) -> None:
        """End the watch, here and on the server."""
        self._response, self._events = pb.WatchResponse(), ()
        self._next = self._end_of_events = 0
        self._end(None)

    def give_up(self, what: str) -> None:
        """End the watch in a `WatchTimeoutError`, after what has come already."""
        error = WatchTimeoutError(what, method=WATCH.name)
        if self._stream is not None:
            error.__cause__ = self._stream.last_error
        self._end(error)

    def abandon(self) -> None:
        """End a watch that nobody holds any more; may be called from any thread."""
        if self._loop is None or self._subscription.state is State.ENDED:
            return
        try:
            self._loop.call_soon_threadsafe(self._end, None)
        except RuntimeError:
            pass  # The loop is closed, and all that was in it is gone.

    # -----------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        if self._stream is None and self._subscription.state is not State.ENDED:
            loop = asyncio.get_running_loop()
            self._stream = self._streams.subscribe(self._subscription)
            self._loop = loop
            self._creation_timer = loop.call_later(self._timeout, self._give_up_creation)

    def _wake(self) -> None:
        self._news.set()
        if self._creation_timer is not None and self._subscription.created:
            self._creation_timer.cancel()
            self._creation_timer = None

    def _error(self) -> ClientError | None:
        """The error that ended the watch, for one of those who are to get it.

        Each gets one of its own, because an exception that is raised changes: it collects
        the trace and the context of where it was.
        """
        error = self._subscription.error
        if error is None:
            return None
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        return own

    def _give_up_creation(self) -> None:
        self._creation_timer = None
        if not self._subscription.created:
            self.give_up(f"the watch was not created within {self._timeout:g} s")

    def _ask_for_progress(self, *, again: bool = False) -> None:
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
        self._progress_timer = self._loop.call_later(_ASK_AGAIN, self._ask_for_progress_again)

    def _ask_for_progress_again(self) -> None:
        self._ask_for_progress(again=True)

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
