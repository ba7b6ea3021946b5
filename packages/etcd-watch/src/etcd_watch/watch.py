"""A watch as its reader has it: awaited, iterated, entered, canceled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from etcd_watch._reader import Reader
from etcd_watch.events import Event, Events, WatchResponse, event_from

__all__ = ["Watch"]


class Watch:
    """The events of a key or a range, one after the other, each once.

    Made by `WatchClient.watch` and `watch_prefix`. All of these begin it; the first two wait
    until the server has created it, so that what is put after them is an event:

        watch = await client.watch(key)
        async with client.watch(key) as watch: ...
        async for event in client.watch(key): ...

    It goes on over every break of the connection, on another member if need be, without a
    lost or a repeated event. A reader that is slower than the events has it parked: given
    back to the server when what waits takes `buffer_bytes` of memory, and taken up again from
    the same place when half of that is read. What ends it is raised to the reader, after the
    events that came before: `RevisionCompactedError` when the next event's revision was
    compacted meanwhile, `ClusterChangedError` when the endpoints serve another cluster after
    a break, `PermissionDeniedError`, `ClientClosedError`, or what else the server said.

    After `cancel`, leaving the `async with`, or when nobody holds the watch any more, the
    server is rid of it too.

    Cancelling a task that waits for an event loses none, and the watch goes on; cancelling
    one that awaits or enters the watch ends it. Several tasks may read one watch: each event
    goes to one of them.
    """

    def __init__(
        self,
        iterator: Callable[[], AsyncIterator[Event]] | None,
        cancel_func: Callable[[], Awaitable[None]],
        watch_id: int,
    ) -> None:
        self._iterator = iterator
        self._cancel = cancel_func
        self._watch_id = watch_id
        self._reader: Reader | None = None

    @classmethod
    def _of(cls, reader: Reader) -> Watch:
        watch = cls(None, reader.cancel, 0)
        watch._reader = reader
        return watch

    @property
    def watch_id(self) -> int:
        """The number of the watch, as the server first knew it; 0 before."""
        return self._watch_id if self._reader is None else self._reader.watch_id

    @property
    def start_revision(self) -> int:
        """The revision that the watch began at, also where "now" was asked for; 0 before."""
        return 0 if self._reader is None else self._reader.start_revision

    # Beginning -------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Watch]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Watch:
        if self._reader is not None:
            await self._reader.begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cancel()

    # Reading ---------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self if self._iterator is None else self._iterator()

    async def __anext__(self) -> Event:
        reader = self._reader or self._own_reader()
        # To call a coroutine costs as much as to make an event: only where there is none.
        if (message := reader.take_event()) is None:
            message = await reader.next_event()
        return event_from(message)

    async def responses(self) -> AsyncIterator[WatchResponse]:
        """Iterate over the events as the server sent them together, revisions undivided.

        Progress responses are among them where `progress_notify` or `request_progress`
        asked for them; of those that wait unread only the latest is kept. A watch's events
        and its responses come from one and the same queue.
        """
        while True:
            try:
                response, events = await self._own_reader().next_batch()
            except StopAsyncIteration:
                return
            yield WatchResponse(response.header, Events(events))

    async def request_progress(self) -> None:
        """Ask the server how far the watch is; the answer is one of its `responses`.

        Its revision says that all events up to it were sent. Servers before 3.4.25 and
        3.5.8 may say so a little early; later ones only when all watches of the stream have
        caught up, and those since 3.4.38 and 3.5.22 only when the store is as far as all of
        them: in a cluster where nobody writes the answer may come with the next write. The
        server is asked until it answers. A missing answer is no sign of a broken connection.
        """
        reader = self._own_reader()
        await reader.wait_created()
        reader.request_progress()

    # Ending ----------------------------------------------------------------------------

    async def cancel(self) -> None:
        """End the watch: no event comes after this, and the server forgets it."""
        await self._cancel()

    def _own_reader(self) -> Reader:
        if self._reader is None:
            raise TypeError("a watch made of an iterator has only that: use `async for`")
        return self._reader

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.abandon()

    def __repr__(self) -> str:
        return f"Watch(watch_id={self.watch_id}, start_revision={self.start_revision})"
