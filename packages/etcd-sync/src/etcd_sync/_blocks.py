"""`Block`: an asynchronous context manager that another thread enters and leaves."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from threading import get_ident
from types import TracebackType
from typing import Any, Generic, TypeVar

from etcd_channel import ClientClosedError
from etcd_sync._loop_thread import LoopThread

__all__ = ["Block"]

T = TypeVar("T")

_Exit = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Block(Generic[T]):
    """Enters and leaves a context manager in one task, which waits in between.

    Context managers of asyncio rely on that: they remember the task that entered them, and may
    cancel it, as a lock with `cancel_on_loss` does. It is left at once then; what it raises is
    raised at the end of the block.
    """

    def __init__(self, manager: AbstractAsyncContextManager[T], thread: LoopThread) -> None:
        self.manager = manager
        self.thread = thread
        """The thread of the loop."""
        self.owner = get_ident()
        """The thread that enters it."""
        self.entered = False
        """Whether the manager was entered, and must be left."""
        self.abandoned = False
        """Whether nothing waits for `enter` any more: the manager is left as soon as it is entered.
        """
        self.left = False
        """Whether `leave` was called."""
        self._task: asyncio.Task[bool | None] | None = None

    async def enter(self) -> T:
        """Enter the manager; a cancellation leaves it again, or does not enter it."""
        loop = asyncio.get_running_loop()
        self._value: asyncio.Future[T] = loop.create_future()
        self._leaving: asyncio.Future[_Exit] = loop.create_future()
        task = asyncio.create_task(self._hold())
        task.add_done_callback(_retrieve)
        either: list[asyncio.Future[Any]] = [self._value, task]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._value.done():
                task.result()
        except asyncio.CancelledError:
            task.cancel()
            await _ended(task)
            raise
        else:
            # So that the manager is left when the loop ends.
            self.thread.tasks[task] = None
            task.add_done_callback(self.thread.tasks.pop)
            self._task = task
            self.entered = True
            return self._value.result()
        finally:
            del task, either  # an error of the task has a traceback that refers to this frame

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Leave the manager with the exception of the body; return whether it is suppressed.

        A cancellation is raised when the manager is left.
        """
        task, failure = self._task, None
        if task is None:
            return None  # it has been left
        self.left = True
        early = task.done()
        if not self._leaving.done():
            self._leaving.set_result((kind, error, trace))
        try:
            await _ended(task)
            self._task = None
            if task.cancelled():
                if error is None:
                    raise ClientClosedError("the client was closed in the block", definite=False)
                return None
            failure = task.exception()
            if failure is None:
                return task.result()
            if failure is error:
                return None
            if early and error is not None:
                error.__context__ = error.__context__ or failure
                return None
            raise failure
        finally:
            del task, failure, error, trace  # their tracebacks refer to this frame

    async def _hold(self) -> bool | None:
        manager = self.manager
        value = await type(manager).__aenter__(manager)
        self._value.set_result(value)
        try:
            error = await self._leaving
        except asyncio.CancelledError as cancellation:
            own = type(cancellation), cancellation, cancellation.__traceback__
            if not await type(manager).__aexit__(manager, *own):
                raise
            return None
        return await type(manager).__aexit__(manager, *error)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait until a task has ended; a cancellation is raised after that."""
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:  # noqa: PERF203  # there may be several
            cancellation = cancellation or error
    try:
        if cancellation is not None:
            raise cancellation
    finally:
        del cancellation  # its traceback refers to this frame


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve an error, which asyncio would report if nothing leaves the block."""
    if not task.cancelled():
        task.exception()
