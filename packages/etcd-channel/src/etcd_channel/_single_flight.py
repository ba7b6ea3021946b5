"""`SingleFlight` runs one coroutine for many concurrent callers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from etcd_channel.errors import ClientClosedError, ClientError

__all__ = ["SingleFlight", "StillRunning"]

T = TypeVar("T")


class StillRunning(asyncio.TimeoutError):
    """The timeout of a caller ended; the work continues.

    A separate class, because the work itself may fail with a `TimeoutError`.
    """


class SingleFlight(Generic[T]):
    """Runs a coroutine once for all callers that arrive while it is running.

    A caller that is cancelled or times out does not stop it for the other callers. `close`
    cancels it, awaits its end, and prevents that it is started again.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._closed = False

    async def run(self, timeout: float | None = None) -> T:
        """Start the work unless it is running, and return its result.

        Raises `StillRunning` after `timeout` seconds (None means no limit), and
        `ClientClosedError` if `close` cancelled the work.
        """
        task = self._task
        if task is None or task.done():
            if self._closed:
                raise ClientClosedError("the client is closed")
            task = self._task = asyncio.create_task(self._work())
            task.add_done_callback(self._ended)
        error: BaseException | None = None
        own: ClientError | None = None
        try:
            # Not wait_for(): before Python 3.12 it loses a cancellation that arrives together
            # with the result, and the canceller waits forever.
            await asyncio.wait([task], timeout=timeout)
            if not task.done():
                raise StillRunning
            if task.cancelled():
                raise ClientClosedError("the client was closed")
            error = task.exception()
            if isinstance(error, ClientError):
                # One for each caller, which may change it, and whose frames its traceback gets.
                own = copy.copy(error)
                own.__cause__ = error.__cause__
                raise own.with_traceback(error.__traceback__)
            return task.result()
        finally:
            # The errors have tracebacks that refer to this frame.
            del task, error, own

    def _ended(self, task: asyncio.Task[T]) -> None:
        # Dropped, so that its error is not kept longer than the callers keep it.
        if self._task is task:
            self._task = None
        # Retrieved, so that asyncio does not report an error if all callers were cancelled.
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Cancel the work if it is running, and wait for its end."""
        self._closed = True
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
