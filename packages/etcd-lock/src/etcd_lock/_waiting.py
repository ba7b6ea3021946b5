"""Waiting for one of several things, and leaving none of them behind."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["until_one_is_done"]


async def until_one_is_done(*works: asyncio.Future[Any], timeout: float | None) -> None:
    """Wait until one of the works is done, but no longer than `timeout` seconds; cancel the rest.

    When it returns, or is cancelled, those that were not done in time are `cancelled()`. Not
    `asyncio.wait_for`: before Python 3.12 that loses a cancellation that comes together with the
    result, and a task that was cancelled would go on with a lock.
    """
    for work in works:
        # Whoever is cancelled does not look at the results; that is no reason for a warning.
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait(works, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for work in works:
            work.cancel()
        await asyncio.wait(works)
