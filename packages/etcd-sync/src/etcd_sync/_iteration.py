"""`Iteration`: an asynchronous iterator, read by other threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from etcd_channel import ClientClosedError, NonCopyable
from etcd_sync._interruption import insist
from etcd_sync._loop_thread import CLOSED, LoopThread
from etcd_sync._operation import Run

__all__ = ["Iteration"]

T = TypeVar("T")
R = TypeVar("R")

_INTERRUPTED = "the iteration was interrupted, and cannot continue: begin another"


class Runner(Protocol):
    """What an iteration needs of a `Portal`."""

    def run(self, function: Callable[[], Awaitable[R]], /) -> R: ...

    def thread(self) -> LoopThread: ...


class Iteration(NonCopyable, Iterator[T]):
    """An iterator that a method such as `Election.observe` or `Watch.responses` returns.

    Several threads may read one: each item goes to one of them. It is closed by `close`, at the end
    of a `with`, and when its last reference is dropped, as `break` does in
    `for item in client.observe_election(name)`. If Ctrl-C, or an exception of a signal handler, has
    ended a wait for an item, some iterations cannot continue: they raise `RuntimeError` then.
    """

    def __init__(
        self,
        portal: Runner,
        iterable: AsyncIterable[T],
        read: Callable[[Callable[[], Awaitable[T]]], T] | None = None,
    ) -> None:
        self._portal = portal
        self._read = read or portal.run
        self._thread: LoopThread | None = None
        self._closed = False
        self._source = _Source(iterable)

    def __repr__(self) -> str:
        return f"Iteration({'closed' if self._closed else 'open'})"

    def __iter__(self) -> Iteration[T]:
        return self

    def __next__(self) -> T:
        if self._closed:
            raise StopIteration
        if self._source.interrupted:
            self._portal.thread()  # the client may be closed
            raise RuntimeError(_INTERRUPTED)
        if self._thread is not None and self._thread.failure:
            self._thread = None  # nothing was read in it
        if self._has_ended_with_its_loop():
            self._portal.thread()
            raise ClientClosedError(CLOSED)
        if self._thread is None:
            self._thread = self._portal.thread()
            if self._closed:  # meanwhile, without a thread to close it in
                raise StopIteration
        try:
            return self._read(self._source.next)
        except StopAsyncIteration:
            if self._has_ended_with_its_loop():
                raise ClientClosedError(CLOSED) from None
            raise StopIteration from None

    def _has_ended_with_its_loop(self) -> bool:
        """Whether the client was closed since; in another loop it would seem complete."""
        return not self._closed and self._thread is not None and self._thread.stopped

    def close(self) -> None:
        """End the iteration, also for threads that wait for an item; idempotent.

        It returns when what it reads from is closed. An exception that arrives meanwhile, such as
        that of Ctrl-C, is raised after that.
        """
        self._closed = True
        thread = self._thread
        if thread is not None and not thread.stopped:
            self._portal.thread()  # refused where nothing can be waited for
            try:
                self._portal.run(self._source.close)
            except BaseException:
                if not self._source.over:
                    insist(thread, Run(self._source.close))
                raise
        self._thread = None

    def __enter__(self) -> Iteration[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        thread = getattr(self, "_thread", None)
        if thread is not None and not thread.stopped:
            thread.submit(Run(self._source.close))


class _Source(Generic[T]):
    """What an iteration reads from. It does not refer to it, so that it can be collected."""

    def __init__(self, iterable: AsyncIterable[T]) -> None:
        self._iterable = iterable
        self._iterator: AsyncIterator[T] | None = None
        self._closed = False
        self.interrupted = False
        """Whether a cancellation has ended what it reads from."""
        self.over = False
        """Whether it is closed, or could not be."""
        # An asynchronous generator refuses a second task as long as one waits for an item.
        self._turn = asyncio.Lock()
        self._reading: asyncio.Task[Any] | None = None

    async def next(self) -> T:
        async with self._turn:
            if self._closed:
                raise StopAsyncIteration
            if self.interrupted:  # as this one waited for its turn
                raise RuntimeError(_INTERRUPTED)
            if self._iterator is None:
                self._iterator = aiter(self._iterable)
            self._reading = asyncio.current_task()
            try:
                return await anext(self._iterator)
            except asyncio.CancelledError:
                if self._closed:
                    raise StopAsyncIteration from None
                # A cancellation ends an asynchronous generator, which would seem complete then.
                self.interrupted = getattr(self._iterator, "ag_frame", self) is None
                raise
            finally:
                self._reading = None

    async def close(self) -> None:
        """End a wait for an item, and close the asynchronous iterator, if it can be closed."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        close: Callable[[], Coroutine[Any, Any, None]] | None
        close = getattr(self._iterator, "aclose", None)
        async with self._turn:
            try:
                if close is not None:
                    await close()
            except Exception:
                self.over = True
                raise
            self.over = True
