"""Cleaning up that a cancelled task must not skip."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from etcd_channel import ClientError
from etcd_channel.errors import LeaseNotFoundError

__all__ = ["finish", "quietly"]

T = TypeVar("T")

_log = logging.getLogger("etcd_lock")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end, also when the task is cancelled meanwhile; then be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            _log.warning("cleaning up failed: %s", task.exception())
        raise


async def quietly(work: Awaitable[object]) -> None:
    """Await what only cleans up: a failure is logged, a lease that is gone is no failure.

    What could not be cleaned up ends with its lease.
    """
    try:
        await work
    except LeaseNotFoundError:
        pass
    except ClientError as error:
        _log.warning("could not clean up: %s", error)
