"""Work that a call leaves to its channel, because nobody waits for the call any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from etcd_channel.errors import ClientError

__all__ = ["Cleaning"]

_log = logging.getLogger("etcd_channel")


class Cleaning:
    """Owns the tasks that clean up, until they have ended or the channel has no more time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Carry out `work` in a task; an error of it is logged."""
        task = asyncio.create_task(work, name="etcd clean-up")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def wait(self, timeout: float) -> None:
        """Return when all of it has ended, or after `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def cancel(self) -> None:
        """Have all that goes on end now."""
        for task in self._tasks:
            task.cancel()

    async def end(self) -> None:
        """Cancel what goes on, and return when it has ended."""
        self.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ClientError):
            _log.warning("cleaning up after a call failed: %s", error)
        elif error is not None:
            _log.error("cleaning up failed by an error of the client", exc_info=error)
