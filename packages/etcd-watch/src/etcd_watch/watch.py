"""`Watch`: the events of a key or a range, as an asynchronous iterator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Any

from etcd_channel import NonCopyable, ResponseHeader
from etcd_watch._reader import Reader
from etcd_watch.events import Event, Events, WatchResponse

__all__ = ["Watch"]


class Watch(NonCopyable):
    """The events of a key or a range, in order, each once.

    `WatchClient.watch` and `watch_prefix` return one. Each of these lines creates it on the server.
    The first two wait for the creation: every later change is an event.

        watch = await client.watch(key)
        async with client.watch(key) as watch: ...
        async for event in client.watch(key): ...

    It survives every break of the connection, on another member if necessary, without a lost
    or repeated event. A watch with a slow reader is parked: it is canceled on the server when
    unread events take `buffer_bytes` of memory, and created again from the same position when
    half of them are read. An error that ends the watch is raised after the events before it:
    `RevisionCompactedError` if the revision of the next event was compacted,
    `ClusterChangedError` if the endpoints serve another cluster after a break,
    `PermissionDeniedError`, `ClientClosedError`, or the error for the server's reason.

    `cancel`, leaving the `async with`, and dropping the last reference cancel the watch on
    the server too. A watch that is dropped at once, without any use, raises a `RuntimeWarning`,
    like a coroutine that was never awaited.

    Cancelling a task that waits for an event loses no event, and the watch continues;
    cancelling a task that awaits or enters the watch ends it. Several tasks may read one
    watch: each event goes to one of them.
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
        """The ID of the watch at its first creation on the server; 0 before."""
        return self._watch_id if self._reader is None else self._reader.watch_id

    @property
    def start_revision(self) -> int:
        """The revision that the watch started at, even if it started at "now"; 0 before."""
        return 0 if self._reader is None else self._reader.start_revision

    # Creation --------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Watch]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Watch:
        if self._reader is not None:
            await self._reader.begin()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.cancel()

    # Reading ---------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self if self._iterator is None else self._iterator()

    async def __anext__(self) -> Event:
        reader = self._reader or self._own_reader()
        # Calling a coroutine costs as much as making an event: only call it to wait.
        event = next(reader.left, None)
        return await reader.next_event() if event is None else event

    async def responses(self) -> AsyncGenerator[WatchResponse, None]:
        """Iterate over the server's responses, each with whole revisions.

        They include progress responses if `progress_notify` or `request_progress` asked for
        them; only the latest unread one is kept. The responses and the events of a watch come
        from the same queue.
        """
        while True:
            try:
                response, events = await self._own_reader().next_batch()
            except StopAsyncIteration:
                return
            yield WatchResponse(ResponseHeader(response.header), Events(events))

    async def request_progress(self) -> None:
        """Ask the server for the progress of the watch; the answer is one of its `responses`.

        All events up to the revision of the answer were sent. Returns when the watch is created
        and the request is sent, without waiting for the answer; the request is repeated until it
        is answered. Servers before 3.4.25 and 3.5.8 may answer a little early. Later servers
        answer only when all watches of the stream have caught up, and servers since 3.4.38 and
        3.5.22 only when the store has reached the positions of all of them: without writes, the
        answer may come with the next write. A missing answer does not mean that the connection is
        broken.
        """
        reader = self._own_reader()
        await reader.wait_created()
        reader.request_progress()

    # Ending ----------------------------------------------------------------------------

    async def cancel(self) -> None:
        """End the watch: no event comes after this, and it is canceled on the server."""
        await self._cancel()

    def _own_reader(self) -> Reader:
        if self._reader is None:
            raise TypeError("a watch made of an iterator can only be iterated over, by `async for`")
        return self._reader

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.abandon()

    def __repr__(self) -> str:
        return f"Watch(watch_id={self.watch_id}, start_revision={self.start_revision})"
