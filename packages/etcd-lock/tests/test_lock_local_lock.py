"""Local locks: one task at a time, in the order of the calls, also when tasks give up."""

from __future__ import annotations

import asyncio
import gc

import pytest

from etcd_channel import Channel
from etcd_lock._local_lock import LocalLock, LocalLocks, local_locks


@pytest.fixture
def lock() -> LocalLock:
    return LocalLocks().at(b"key")


async def test_a_local_lock_is_acquired_in_the_order_of_the_calls(lock: LocalLock) -> None:
    order: list[int] = []

    async def work(number: int) -> None:
        assert await lock.acquire(None)
        order.append(number)
        await asyncio.sleep(0)
        lock.release()

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))
    assert await lock.acquire(0)


async def test_a_local_lock_that_is_not_released_in_time_is_not_acquired(lock: LocalLock) -> None:
    assert await lock.acquire(None)
    assert await lock.acquire(0) is False
    assert await lock.acquire(0.01) is False
    lock.release()
    assert await lock.acquire(0)


@pytest.mark.parametrize("released_first", [False, True])
async def test_a_waiter_that_is_cancelled_does_not_hold_up_the_next(
    lock: LocalLock, released_first: bool
) -> None:
    await lock.acquire(None)
    cancelled = asyncio.create_task(lock.acquire(None))
    waiting = asyncio.create_task(lock.acquire(None))
    await asyncio.sleep(0)
    if released_first:
        lock.release()
        cancelled.cancel()
    else:
        cancelled.cancel()
        lock.release()
    assert await asyncio.wait_for(waiting, 60) is True
    assert cancelled.cancelled() or (await asyncio.wait([cancelled]) and cancelled.cancelled())


def test_clients_on_one_channel_share_the_local_lock_of_a_key() -> None:
    channel = Channel()
    lock = channel.shared(local_locks).at(b"key")
    assert channel.shared(local_locks).at(b"key") is lock
    assert channel.shared(local_locks).at(b"other") is not lock


async def test_a_local_lock_is_dropped_only_when_it_is_free() -> None:
    locks = LocalLocks()
    await locks.at(b"held").acquire(None)
    await locks.at(b"released").acquire(None)
    locks.at(b"released").release()
    gc.collect()
    assert set(locks._locks) == {b"held"}
    assert await locks.at(b"held").acquire(0) is False
