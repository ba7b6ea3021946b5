"""`LeaseLoss` and `LockLoss`, with which synchronous code waits for a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import etcd_client
from etcd_channel.arguments import check_wait
from etcd_client import LeaseExpiredError, LockLostError
from etcd_sync._handle import Handle

__all__ = ["LeaseLoss", "LockLoss"]

ErrorT = TypeVar("ErrorT")


class LeaseLoss(Handle):
    """The loss of a lease or a session, for which `wait` waits."""

    _inner: etcd_client.LeaseLoss

    def wait(self, timeout: float | None = None) -> LeaseExpiredError | None:
        """Wait for the loss, and return its error; return None after `timeout` seconds.

        None sets no limit; 0 checks without waiting. Any number of threads may wait.
        """
        return self._portal.run(_within, self._inner, timeout)


class LockLoss(Handle):
    """The loss of a lock, a leadership or an entry of a queue, for which `wait` waits."""

    _inner: etcd_client.LockLoss

    def wait(self, timeout: float | None = None) -> LockLostError | None:
        """Wait for the loss, and return its error; return None after `timeout` seconds.

        None sets no limit. The key is watched only while a thread waits, so a short `timeout` may
        miss that it was deleted: to check without waiting, call `is_acquired` of the lock. Any
        number of threads may wait.
        """
        return self._portal.run(_within, self._inner, timeout)


async def _within(lost: Awaitable[ErrorT], timeout: float | None) -> ErrorT | None:
    """Await the loss for `timeout` seconds; return None after them."""
    seconds = check_wait("timeout", timeout)
    waiting = asyncio.ensure_future(lost)
    try:
        await asyncio.wait([waiting], timeout=seconds)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
