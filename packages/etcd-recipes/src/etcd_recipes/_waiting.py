"""Limits the time of a wait without losing what was waited for."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from etcd_channel.tasks import finish, log_errors

__all__ = ["time_is_up", "within"]

T = TypeVar("T")


# The tasks that `within` has cancelled because their time was over.
_out_of_time: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def time_is_up() -> bool:
    """Whether `within` has cancelled the current task because its time was over.

    A result that the task has by then still counts: the caller is not cancelled, and waits for it.
    Without one the task must end by the cancellation, which comes once.
    """
    return asyncio.current_task() in _out_of_time


async def within(
    seconds: float | None,
    work: Coroutine[Any, Any, T | None],
    undo: Callable[[T], Awaitable[object]] | None = None,
    *,
    unless: Coroutine[Any, Any, object] | None = None,
) -> T | None:
    """Await `work`; cancel it after `seconds`, or when `unless` has ended.

    Returns the result of `work`, or None if it ended by that cancellation. `work` may return a
    result although its time is over, see `time_is_up`. None as `seconds` sets no limit. If the
    caller is cancelled at the moment at which `work` returns a result, the result is undone by
    `undo`, unless it is None. `asyncio.wait_for` would lose the result or the cancellation before
    Python 3.12.
    """
    task = asyncio.create_task(work)
    tasks: list[asyncio.Task[Any]] = [task]
    if unless is not None:
        tasks.append(asyncio.create_task(unless))
    try:
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not ended:
            _out_of_time.add(task)
        await finish(_ended(tasks))
    except BaseException as error:
        try:
            await finish(_ended(tasks), error)
        finally:
            if undo and not task.cancelled() and task.exception() is None:
                result = task.result()
                if result is not None:
                    await finish(log_errors(undo(result)), error)
        raise
    try:
        return None if task.cancelled() else task.result()
    finally:
        # The error's traceback refers to this frame: break the reference cycle.
        del task, tasks, ended


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # a cancelled caller does not retrieve it
