"""The clock that measures the time to live of a lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["now"]

if hasattr(time, "CLOCK_BOOTTIME"):
    # Also counts while the machine is suspended. The server counts that time too; `time.monotonic`
    # on Linux does not.
    now: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
else:  # macOS and others have no such clock
    now = time.monotonic
