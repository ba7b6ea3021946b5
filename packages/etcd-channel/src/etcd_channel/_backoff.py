"""`Backoff`, the pauses between attempts."""

from __future__ import annotations

__all__ = ["Backoff"]


class Backoff:
    """Exponential backoff with jitter: from 25 to 50 ms at first up to 1 to 2 s."""

    def __init__(self, first: float = 0.05, most: float = 2.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        import random  # here, so that it is imported only if an attempt fails

        pause = self._next
        self._next = min(pause * 2, self._most)
        return pause * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self._next = self._first
