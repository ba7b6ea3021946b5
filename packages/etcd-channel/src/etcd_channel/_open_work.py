"""The work that runs beside the calls of a channel, from its first use until it is closed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from etcd_channel._background import BackgroundTasks

__all__ = ["OpenWork"]

Work = Callable[[], Coroutine[Any, Any, object]]


class OpenWork:
    """Starts work when the channel is bound to its event loop, and ends it at `close`."""

    def __init__(self) -> None:
        self._waiting: list[Work] = []
        self._started = False
        self._tasks = BackgroundTasks()

    def add(self, work: Work) -> None:
        """Run `work()` in a task: at once if `start` was called, otherwise then."""
        if self._started:
            self._tasks.start(work())
        else:
            self._waiting.append(work)

    def start(self) -> None:
        """Start what was added, in the running event loop."""
        self._started = True
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            self.add(work)

    def forget(self) -> None:
        """Drop all tasks, which belong to the process that this one was forked from."""
        self._tasks = BackgroundTasks()

    async def close(self) -> None:
        """Cancel the tasks, and wait until they have ended; start no more."""
        self._started = False
        await self._tasks.cancel()
