"""The clock by which a lease is held to be alive."""

from __future__ import annotations

import time

__all__ = ["now"]

if hasattr(time, "CLOCK_BOOTTIME"):

    def now() -> float:
        """Seconds that never jump; on Linux they go on while the machine is suspended.

        The lease runs out meanwhile, and `time.monotonic` would not know.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # macOS and others have no such clock
    now = time.monotonic
