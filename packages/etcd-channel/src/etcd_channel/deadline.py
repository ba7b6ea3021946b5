"""`Deadline` divides one timeout among several calls.

For service packages and for code that is built on them. A deadline only computes the time that is
left: it starts no timer and cancels nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import overload

from etcd_channel.arguments import check_timeout

__all__ = ["Clock", "Deadline"]

Clock = Callable[[], float]
"""A monotonic clock, such as `time.monotonic`; returns seconds."""

# Seconds. A timeout of 0 is invalid for a call; with this one it fails nearly as fast.
_SHORTEST_TIMEOUT = 0.001


class Deadline:
    """The time at which an operation of several calls must end.

    Use `Deadline.after` or `Deadline.of` to make one from a number of seconds. `at` is the time
    on `clock`; None means that the deadline never passes.
    """

    __slots__ = ("_clock", "at")

    def __init__(self, at: float | None, clock: Clock) -> None:
        self.at = at
        """The time on the clock, in seconds; None if the deadline never passes."""
        self._clock = clock

    @classmethod
    def after(cls, seconds: float | None, clock: Clock | None = None) -> Deadline:
        """Return the deadline `seconds` from now; None means that it never passes.

        `clock` None means the clock of the running event loop, and raises `RuntimeError` if there
        is none.
        """
        if clock is None:
            clock = asyncio.get_running_loop().time
        return cls(None if seconds is None else clock() + seconds, clock)

    @classmethod
    def of(cls, name: str, timeout: object, clock: Clock | None = None) -> Deadline:
        """Return the deadline for an argument, and check it; otherwise as `after`.

        `timeout` is the value of the argument `name`: a number of seconds, or None. Raises what
        `check_timeout` raises.
        """
        return cls.after(None if timeout is None else check_timeout(name, timeout), clock)

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and the one `seconds` from now."""
        at = self._clock() + seconds
        return self if self.at is not None and self.at <= at else Deadline(at, self._clock)

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.at is not None and self._clock() >= self.at

    def remaining(self) -> float | None:
        """Return the seconds that are left: 0.0 if it has passed, None if it never passes."""
        return None if self.at is None else max(self.at - self._clock(), 0.0)

    @overload
    def timeout(self) -> float | None: ...
    @overload
    def timeout(self, most: float) -> float: ...
    @overload
    def timeout(self, most: float | None) -> float | None: ...

    def timeout(self, most: float | None = None) -> float | None:
        """Return the timeout for the next call: the seconds left, but no more than `most`.

        After the deadline it is a millisecond, because 0 is not a valid timeout. It is None if
        the deadline never passes and `most` is None.
        """
        if self.at is None:
            return most
        left = max(self.at - self._clock(), _SHORTEST_TIMEOUT)
        return left if most is None else min(left, most)

    def __repr__(self) -> str:
        left = self.remaining()
        return f"Deadline({'never' if left is None else f'{left:.3f} s left'})"
