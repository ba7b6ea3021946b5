"""What locks and elections measure, for the views of a channel that receive reports."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

from etcd_channel import Metric, Observer

__all__ = ["LOCK_WAIT", "wait_measured"]

LOCK_WAIT = Metric(
    "etcd.client.lock.wait",
    "s",
    "How long it took to acquire a lock or to win an election, or to give up.",
    "histogram",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


def wait_measured(
    observer: Observer, operation: str, acquiring: Coroutine[Any, Any, bool]
) -> Coroutine[Any, Any, bool]:
    """Return `acquiring`, or what does the same and reports how long it took and its outcome.

    `operation` is the name of the operation, such as "Mutex.acquire".
    """
    return _measured(observer, operation, acquiring) if observer.listening else acquiring


async def _measured(
    observer: Observer, operation: str, acquiring: Coroutine[Any, Any, bool]
) -> bool:
    started = perf_counter()
    outcome = "failed"
    try:
        with observer.operation(operation):
            acquired = await acquiring
        outcome = "acquired" if acquired else "timed_out"
        return acquired
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        kind = operation.partition(".")[0]
        attributes = {"etcd.lock.kind": kind, "etcd.lock.outcome": outcome}
        observer.measure(LOCK_WAIT, perf_counter() - started, attributes)
