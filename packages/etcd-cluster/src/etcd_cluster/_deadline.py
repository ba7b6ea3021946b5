"""One timeout over several calls."""

from __future__ import annotations

import asyncio

from etcd_channel.arguments import check_timeout

__all__ = ["Deadline"]

# A call takes no timeout of 0; this one fails as fast.
_NEXT_TO_NOTHING = 0.001


class Deadline:
    """Shares out the seconds of a timeout; None leaves each call the channel's own."""

    def __init__(self, name: str, seconds: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = None
        if seconds is not None:
            self._end = self._loop.time() + check_timeout(name, seconds)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self._end is not None and self._loop.time() >= self._end

    def left(self, most: float | None = None) -> float | None:
        """The seconds left, to be given to a call; no more than `most`, if that is said."""
        if self._end is None:
            return most
        left = max(self._end - self._loop.time(), _NEXT_TO_NOTHING)
        return left if most is None else min(left, most)
