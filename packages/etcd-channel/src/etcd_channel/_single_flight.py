"""One piece of work that many callers wait for, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs a coroutine once for all who ask while it runs.

    A caller that is cancelled leaves the others' work alone. The task is this object's:
    `close` cancels and awaits it.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    async def run(self) -> T:
        """Join the work under way, or start it."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(self._work())
            # All who waited may be gone when it fails; that is no reason for a warning.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel the work, if there is any, and wait for its end."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
