"""Limits the time of a wait without losing what was waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from etcd_channel.tasks import finish, log_errors

__all__ = ["time_is_up", "within"]

T = TypeVar("T")


@dataclass(slots=True)
class _Limit:
    """The limit of a wait, in the context of its task."""

    reached: bool = False


_limit: ContextVar[_Limit] = ContextVar("etcd_recipes_limit")


def time_is_up() -> bool:
    """Whether `within` has cancelled the current task because its time is over.

    What the task has done until then still counts: the caller is not cancelled, and waits for it.
    """
    limit = _limit.get(None)
    return limit is not None and limit.reached


async def within(
    seconds: float | None,
    work: Coroutine[Any, Any, T | None],
    undo: Callable[[T], Awaitable[object]] | None = None,
    *,
    unless: Coroutine[Any, Any, object] | None = None,
) -> T | None:
    """Await `work`; cancel it after `seconds`, or when `unless` has ended, and return None then.

    None as `seconds` sets no limit. Work that finds out by `time_is_up` why it is cancelled may
    return a result nevertheless. If the caller is cancelled at the moment at which `work`
    returns a result, the result is undone by `undo`, unless it is None. `asyncio.wait_for` would
    lose either before Python 3.12.
    """
    limit = _Limit()
    outer = _limit.set(limit)
    task = asyncio.create_task(work)  # it has a copy of the context
    _limit.reset(outer)
    tasks: list[asyncio.Task[Any]] = [task]
    if unless is not None:
        tasks.append(asyncio.create_task(unless))
    try:
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        limit.reached = not ended
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
