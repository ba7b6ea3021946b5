"""Waits for one of several futures, and cancels the others."""

from __future__ import annotations

import asyncio
from typing import Any

from etcd_channel.tasks import finish

__all__ = ["until_one_is_done"]


async def until_one_is_done(*futures: asyncio.Future[Any], timeout: float | None) -> None:
    """Wait until one of the futures is done, at most `timeout` seconds; cancel the others.

    When it returns or is cancelled, the futures that were not done in time are `cancelled()`.
    It does not use `asyncio.wait_for`, which before Python 3.12 loses a cancellation that arrives
    together with the result: a cancelled task would continue with a lock.
    """
    for future in futures:
        # A cancelled caller does not retrieve the results: keep asyncio from warning about it.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError as cancellation:
        await finish(_ended(futures), cancellation)
        raise
    if not all(future.done() for future in futures):
        await finish(_ended(futures))


async def _ended(futures: tuple[asyncio.Future[Any], ...]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)
