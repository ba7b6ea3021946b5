"""Runs work to its end even if the task is cancelled, and work with a time limit.

`finish` is a copy of that in `etcd_channel.tasks`: this package depends on no client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["finish", "limited"]

T = TypeVar("T")


async def finish(
    work: Coroutine[Any, Any, T] | asyncio.Future[T], after: BaseException | None = None
) -> T:
    """Await `work` to its end, even if the task is cancelled repeatedly, and return its result.

    `after` is the exception that the caller is handling while it cleans up. If the task was
    cancelled, the cancellation is raised after `work` has ended: `after` if that is one, else the
    first one that reached the task.
    """
    running = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:  # noqa: PERF203  # each is one to outlast
            cancellation = cancellation or error
    if cancellation is None:
        return running.result()
    if not running.cancelled():
        running.exception()
    try:
        raise after if isinstance(after, asyncio.CancelledError) else cancellation
    finally:
        # This frame is in the error's traceback: a reference to the error would be a cycle.
        del after, cancellation, running


async def limited(work: Coroutine[Any, Any, T], timeout: float) -> T:
    """Await `work` for at most `timeout` seconds; cancel it on cancellation or timeout.

    It is cancelled once, however often the task is, and its end is awaited, so that `work` can
    clean up. Raises TimeoutError. `asyncio.wait_for`, before Python 3.12, loses a cancellation
    that arrives together with the result.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task], timeout=timeout)
    except asyncio.CancelledError as cancellation:
        await finish(_ended(task), cancellation)
        raise
    if not task.done():
        await finish(_ended(task))
    if task.cancelled():
        raise TimeoutError
    return task.result()


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
