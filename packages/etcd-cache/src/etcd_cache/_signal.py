"""`Signal`, which wakes all tasks that wait for something to happen."""

from __future__ import annotations

import asyncio

__all__ = ["Signal"]


class Signal:
    """Wakes the tasks that wait for it; what happened they look up themselves."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def send(self) -> None:
        """Wake all tasks that wait now."""
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(None)

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next `send`, at most `timeout` seconds; return whether it came."""
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        # Not the future itself: that would be cancelled, for all, with one waiting task.
        done, _ = await asyncio.wait([self._future], timeout=timeout)
        return bool(done)
