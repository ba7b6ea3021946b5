"""The tasks that a channel waits for when it is closed, such as the release of a lock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from etcd_channel.deadline import Deadline
from etcd_channel.errors import ClientError

__all__ = ["BackgroundTasks"]

_log = logging.getLogger("etcd_channel")


# Iterations of the event loop without a task before `wait` returns. A task that was cancelled
# together with the closing one needs one or two for each nested await before it starts to clean up.
_IDLE_ITERATIONS = 30


class BackgroundTasks:
    """Runs background work, and waits for it when the channel is closed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        # Tasks of other owners that `wait` awaits as well.
        self._others: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Run `work` in a task; its error is logged."""
        task = asyncio.create_task(work, name="etcd background work")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def await_also(self, task: asyncio.Task[Any]) -> None:
        """Make `wait` await a task as well, whose owner handles its result and its errors."""
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def wait(self, timeout: float) -> None:
        """Wait until all tasks have ended, but no longer than `timeout` seconds.

        Tasks that start during the wait are awaited as well: a cancelled `asyncio.gather` returns
        when its first task has ended, and the others may not have started to release locks and
        leases yet.
        """
        deadline = Deadline.after(timeout)
        idle_iterations = 0
        while idle_iterations < _IDLE_ITERATIONS and not deadline.passed:
            if tasks := self._tasks | self._others:
                idle_iterations = 0
                await asyncio.wait(tasks, timeout=deadline.remaining())
            else:
                idle_iterations += 1
                await asyncio.sleep(0)

    async def cancel(self) -> None:
        """Cancel the tasks, and wait until they have ended."""
        # A task that is cancelled before its first step never runs, so that it could not tell
        # those who wait for it. It runs in the next iteration.
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ClientError):
            _log.warning("background work failed: %s", str(error))
        elif error is not None:
            _log.error("background work failed with an unexpected error", exc_info=error)
