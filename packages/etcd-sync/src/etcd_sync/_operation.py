"""`Operation`: what a thread has the event loop do, and waits for."""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from threading import Lock, local
from typing import Any, Generic, TypeVar

from etcd_channel.owner import calling_thread

__all__ = ["Call", "Operation", "Run", "Tasks"]

T = TypeVar("T")


class _Token:
    """Stands for a thread. A `Thread` would not do: Python makes one for a thread that ends."""


class _ThisThread(local):
    def __init__(self) -> None:
        self.token = _Token()


_this_thread = _ThisThread()


class Operation(ABC, Generic[T]):
    """Something that is done once, in the loop, with the context variables of its creator.

    `start` and `cancel` are called in the loop. `done` is released at the end. A wait for it that
    an exception interrupted may have acquired it or not, so `ended` is set before.
    """

    __slots__ = ("context", "done", "ended", "error", "result")

    result: T

    def __init__(self) -> None:
        self.context = copy_context()
        self.context.run(calling_thread.set, _this_thread.token)
        self.error: BaseException | None = None
        self.ended = False
        # One wait needs no more than a lock, which costs a tenth of an Event.
        self.done = Lock()
        self.done.acquire()

    @abstractmethod
    def start(self, loop: asyncio.AbstractEventLoop, tasks: Tasks) -> None:
        """Begin, unless it was begun or has ended. A task is in `tasks` until it has ended."""

    @abstractmethod
    def cancel(self) -> None:
        """End it soon, and at once if it was not started."""

    def end(self, error: BaseException | None) -> None:
        """Have the waiting thread continue; with an error, which is raised there, or a result."""
        self.error = error
        self.ended = True
        self.done.release()


class Run(Operation[T]):
    """A function that returns something to be awaited, in a task of its own."""

    __slots__ = ("_function", "_task")

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        super().__init__()
        self._function = function
        self._task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop, tasks: Tasks) -> None:
        if self.ended or self._task is not None:
            return
        work = self._run(tasks)
        if sys.version_info >= (3, 11):
            self._task = loop.create_task(work, context=self.context)
        else:
            self._task = self.context.run(loop.create_task, work)
        tasks[self._task] = self

    def cancel(self) -> None:
        if self._task is not None:
            # After its first step: a task that is cancelled before never runs, and ends nothing.
            self._task.get_loop().call_soon(self._task.cancel)
        elif not self.ended:
            self.end(asyncio.CancelledError())

    async def _run(self, tasks: Tasks) -> None:
        try:
            self.result = await self._function()
        except BaseException as error:  # it is raised in the waiting thread
            self.error = _without_this_frame(error)
        task = self._task
        assert task is not None
        # Not by a callback of the task, which costs an iteration of the loop. The task must not be
        # deleted in the waiting thread: an interrupt would get lost in the callbacks of that.
        del tasks[task]
        self._task = None
        if not self.ended:  # as it is if the loop has ended before
            self.ended = True
            self.done.release()


class Call(Operation[T]):
    """A plain function, without a task."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__()
        self._function = function

    def start(self, loop: asyncio.AbstractEventLoop, tasks: Tasks) -> None:
        if self.ended:
            return
        try:
            self.result = self.context.run(self._function)
        except BaseException as error:  # it is raised in the waiting thread
            self.end(_without_this_frame(error))
        else:
            self.end(None)

    def cancel(self) -> None:
        if not self.ended:
            self.end(asyncio.CancelledError())


Tasks = dict["asyncio.Task[Any]", "Operation[Any] | None"]
"""Tasks, with the operations that they are of."""


def _without_this_frame(error: BaseException) -> BaseException:
    trace = error.__traceback__
    return error if trace is None else error.with_traceback(trace.tb_next)
