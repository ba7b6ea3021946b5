"""`Conversation`: a thread waits for a coroutine, and runs the user's functions meanwhile."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections import deque
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from etcd_channel import ClientClosedError
from etcd_kv.bulk_source import IterableElsewhere
from etcd_sync._interruption import insist, wait_to_the_end
from etcd_sync._iteration import Iteration
from etcd_sync._loop_thread import CLOSING_TIME
from etcd_sync._operation import Run
from etcd_sync._portal import Portal
from etcd_sync._request import Request

__all__ = ["Conversation"]

T = TypeVar("T")
P = ParamSpec("P")


class Conversation:
    """Runs a coroutine in the loop, and functions that it asks for in the thread that waits for it.

    So a function of the user never blocks the loop, may call the client, and is interrupted by
    Ctrl-C like the rest of the thread.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._requests: deque[Request[Any]] = deque()
        self._wanted: asyncio.Event
        self._task: asyncio.Task[Any] | None = None
        # Whether nothing waits for the task any more.
        self._abandoned = False
        # The function that is running, and the thread that runs it.
        self._serving: Request[Any] | None = None
        self._thread = 0
        # The error of a posted function, which ends the coroutine.
        self._failure: Exception | None = None

    # In the thread ---------------------------------------------------------------------

    def hold(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the loop, await what it returns, and return the result of that."""
        thread = self._portal.thread()
        self._abandoned = False
        result: T
        try:
            try:
                request = self._portal.run_in(
                    thread, self._begin, partial(function, *args, **kwargs)
                )
                while request is not None:
                    self._serve(request)
                    request = self._portal.run_in(thread, self._step, request)
                result = self._portal.run_in(thread, self._result)
                return result
            except ClientClosedError:
                if self._task is None or not thread.stopped or self._failure is not None:
                    raise
            # The client was closed meanwhile; the task knows what was done by then.
            if not self._task.done():
                wait_to_the_end(thread.join, CLOSING_TIME)
            if self._task.cancelled() or not self._task.done():
                raise ClientClosedError("the client was closed during the call", definite=False)
            result = self._task.result()
            self._raise_failure()
            return result
        except BaseException:
            # First, before any call, at which an interrupt may arrive.
            self._abandoned = True
            if self._task is not None and not self._task.done():
                insist(thread, Run(partial(_cancelled, self._task)))
            raise
        finally:
            self._task = None  # its error has a traceback that refers to this frame

    def _serve(self, request: Request[Any]) -> None:
        self._serving, self._thread = request, threading.get_ident()
        try:
            request.serve()
        finally:
            self._serving = None

    def _own_serving(self) -> Request[Any] | None:
        """Return the function that is running if the current thread runs it."""
        return self._serving if self._thread == threading.get_ident() else None

    def run(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Portal.run`, in the task that waits for the function which is running."""
        serving = self._own_serving()
        if serving is None:
            # It is refused in any other task.
            return self._portal.run(function, *args, **kwargs)
        result: T = self._portal.run(serving.delegate, partial(function, *args, **kwargs))
        return result

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the task that waits for the function which is running."""
        return self.run(_called, partial(function, *args, **kwargs))

    def iterate(self, iterable: AsyncIterable[T]) -> Iteration[T]:
        """Return an iterator; functions are run in the thread that waits for its next item."""
        turn = threading.Lock()

        def read(work: Callable[[], Awaitable[T]]) -> T:
            if self._own_serving() is not None:
                raise RuntimeError("a function that an iterator waits for cannot read it")
            with turn:
                return self.hold(work)

        return Iteration(self._portal, iterable, read)

    @property
    def within(self) -> Portal:
        """The portal of what is used by the function that is running only."""
        return cast("Portal", self)

    # Arguments -------------------------------------------------------------------------

    def posted(self, function: Callable[P, object] | None) -> Callable[P, object] | None:
        """Return a function that has the thread call `function`, and does not wait for it."""
        return partial(self.post, function) if callable(function) else function

    def writer(self, target: Any) -> Any:
        """Return what writes to a file object in the thread; return any other target unchanged."""
        if isinstance(target, (str, os.PathLike, io.IOBase)):
            return target
        return _Writer(self, target) if callable(getattr(target, "write", None)) else target

    def source(self, name: str, source: Any) -> Any:
        """Return what reads an iterable in the thread; an argument is refused by its name."""
        if type(source) in _PLAIN or not isinstance(source, Iterable):
            if isinstance(source, AsyncIterable):
                raise TypeError(f"{name} must be an iterable, not an asynchronous one")
            if not isinstance(source, Iterable):
                raise TypeError(f"{name} must be an iterable, not {type(source).__name__}")
            return source
        if isinstance(source, Mapping):
            source = source.items() if name == "pairs" else source.keys()
        kind = _SizedSource if isinstance(source, Sized) else _Source
        return kind(self, source)

    # In the loop -----------------------------------------------------------------------

    async def ask(self, function: Callable[..., T], *args: object) -> T:
        """Have the thread call a function; return its result."""
        request = Request(function, *args)
        self._add(request)
        return await request.result()

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Have the thread call a function, without waiting; its error is raised at the next one."""
        self._raise_failure()
        self._add(Request(self._guarded, function, *args))

    def _guarded(self, function: Callable[..., object], *args: object) -> None:
        if self._failure is None:
            try:
                function(*args)
            except Exception as error:  # raised in the coroutine, or at its end
                self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _add(self, request: Request[Any]) -> None:
        self._requests.append(request)
        self._wanted.set()

    async def _begin(self, work: Callable[[], Awaitable[Any]]) -> Request[Any] | None:
        self._wanted = asyncio.Event()
        self._task = asyncio.create_task(_awaited(work))
        self._task.add_done_callback(self._done)
        if self._abandoned:
            self._task.cancel()
        return await self._next()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._wanted.set()
        if not task.cancelled():
            task.exception()  # so that asyncio does not report it if the thread has gone

    async def _step(self, served: Request[Any]) -> Request[Any] | None:
        served.served()
        return await self._next()

    async def _next(self) -> Request[Any] | None:
        """Return the next function to call; None when the coroutine has ended."""
        task = self._task
        assert task is not None
        while not (self._requests or task.done()):
            self._wanted.clear()
            await self._wanted.wait()
        return self._requests.popleft() if self._requests else None

    async def _result(self) -> Any:
        assert self._task is not None
        result = self._task.result()
        self._raise_failure()
        return result


# Their iterators do not run code of the user. Text is refused by the bulk operations.
_PLAIN = (bytearray, bytes, dict, frozenset, list, set, str, tuple)


class _Source(IterableElsewhere):
    """An iterable that the thread reads."""

    def __init__(self, conversation: Conversation, source: Iterable[Any]) -> None:
        self._conversation = conversation
        self._source = source
        self._iterator: Iterator[Any] | None = None

    async def read(self, take: Callable[[Iterator[Any]], bool]) -> bool:
        return await self._conversation.ask(self._read, take)

    def _read(self, take: Callable[[Iterator[Any]], bool]) -> bool:
        if self._iterator is None:
            self._iterator = iter(self._source)
        return take(self._iterator)


class _SizedSource(_Source):
    def __len__(self) -> int:
        assert isinstance(self._source, Sized)
        return len(self._source)


class _Writer:
    def __init__(self, conversation: Conversation, target: Any) -> None:
        self._conversation = conversation
        self._write = target.write
        self._flush = getattr(target, "flush", None)

    async def write(self, data: bytes) -> Any:
        return await self._conversation.ask(self._write, data)

    async def flush(self) -> None:
        if callable(self._flush):
            await self._conversation.ask(self._flush)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    await asyncio.wait([task])


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


async def _called(function: Callable[[], T]) -> T:
    return function()
