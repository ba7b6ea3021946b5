"""One piece of work that many callers wait for, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from etcd_channel.errors import ClientClosedError

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs a coroutine once for all who ask while it runs.

    A caller that is cancelled, or has no more time, leaves the others' work alone. The task
    is this object's: `close` cancels and awaits it, and no other is started after it.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._closed = False

    async def run(self, timeout: float | None = None) -> T:
        """Join the work under way, or start it; None waits for it without limit.

        Raises `asyncio.TimeoutError` after `timeout` seconds, and `ClientClosedError` when
        the work was ended by `close`.
        """
        task = self._task
        if task is None or task.done():
            if self._closed:
                raise ClientClosedError("the channel is closed")
            task = self._task = asyncio.create_task(self._work())
            # All who waited may be gone when it fails; that is no reason for a warning.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Not wait_for(): before Python 3.12 it loses a cancellation that comes together
        # with the result, and whoever cancelled waits for ever.
        await asyncio.wait([task], timeout=timeout)
        if not task.done():
            raise asyncio.TimeoutError
        if task.cancelled():
            raise ClientClosedError("the channel was closed")
        return task.result()

    async def close(self) -> None:
        """Cancel the work, if there is any, and wait for its end."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
