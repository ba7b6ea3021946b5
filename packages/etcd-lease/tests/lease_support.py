"""Helpers of the lease tests: patient channels, short leases, and questions asked repeatedly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from etcd_lease import Lease, LeaseClient, LeaseExpiredError

__all__ = ["PATIENT", "is_there", "short_lease", "until"]

PATIENT: Final[dict[str, Any]] = {"connect_timeout": 30, "keepalive_timeout": 30, "timeout": 60}
"""Arguments of a channel whose calls do not fail if the machine stands still for seconds."""


async def short_lease(client: LeaseClient, ttl: int = 1, *, keep_alive: bool = False) -> Lease:
    """Grant a lease for the test of its loss; again if the answer takes longer than its time."""
    for _ in range(10):
        with suppress(LeaseExpiredError):
            return await client.lease(ttl, keep_alive=keep_alive)
    raise AssertionError(f"no answer came within the time to live of {ttl} s")


async def until(question: Callable[[], Awaitable[object]], answer: object) -> None:
    """Call repeatedly until it returns the expected value."""
    last: object = None
    for _ in range(1000):
        last = await question()
        if last == answer:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the answer is still {last!r}, not {answer!r}")


async def is_there(client: LeaseClient, lease: Lease | int) -> bool:
    """Return whether the server has a lease."""
    return (lease if isinstance(lease, int) else lease.id) in await client.leases()
