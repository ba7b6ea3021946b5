"""The locks of keys that transactions of one process hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from etcd_channel import Channel
from etcd_kv import KVClient, STMTransaction
from etcd_kv._stm_key_locks import KeyLock, KeyLocks
from etcd_testing import cancel_everywhere

LONG = 60.0


@pytest.fixture
async def locks() -> AsyncIterator[KeyLocks]:
    channel = Channel()
    yield channel.shared(KeyLocks)
    await channel.close()


async def test_a_lock_goes_to_those_that_wait_in_their_order(locks: KeyLocks) -> None:
    first, *others = [KeyLock(locks) for _ in range(4)]
    first.try_acquire(b"key")
    order = []

    async def wait(number: int, lock: KeyLock) -> None:
        await lock.wait(b"key", LONG)
        order.append(number)
        lock.release()

    waiting = [asyncio.create_task(wait(number, lock)) for number, lock in enumerate(others)]
    await asyncio.sleep(0)
    assert not order
    first.release()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert not locks.is_locked(b"key")


async def test_waiting_for_a_free_lock_returns_at_once_and_does_not_acquire_it(
    locks: KeyLocks,
) -> None:
    lock = KeyLock(locks)
    await lock.wait(b"key", LONG)
    assert not locks.is_locked(b"key")
    lock.release()


async def test_a_transaction_holds_one_lock_at_most(locks: KeyLocks) -> None:
    first, second = KeyLock(locks), KeyLock(locks)
    first.try_acquire(b"one")
    second.try_acquire(b"other")
    await first.wait(b"other", LONG)
    first.try_acquire(b"third")
    assert not locks.is_locked(b"third")


async def test_a_wait_ends_without_the_lock_after_its_timeout(locks: KeyLocks) -> None:
    first, second, third = KeyLock(locks), KeyLock(locks), KeyLock(locks)
    first.try_acquire(b"key")
    await second.wait(b"key", 0.001)
    waiting = asyncio.create_task(third.wait(b"key", LONG))
    await asyncio.sleep(0)
    second.release()
    first.release()
    await waiting
    assert locks.is_locked(b"key")
    third.release()
    assert not locks.is_locked(b"key")


async def test_a_cancelled_wait_passes_the_lock_on(locks: KeyLocks) -> None:
    first = KeyLock(locks)

    async def wait() -> None:
        lock = KeyLock(locks)
        first.try_acquire(b"key")
        asyncio.get_running_loop().call_soon(first.release)
        try:
            await lock.wait(b"key", LONG)
        finally:
            lock.release()

    async def free() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not locks.is_locked(b"key")

    assert await cancel_everywhere(wait, free)


async def test_a_transaction_that_ends_in_any_way_holds_no_lock(
    kv: KVClient, key_prefix: bytes
) -> None:
    locks = kv.channel.shared(KeyLocks)

    async def body(t: STMTransaction) -> None:
        await t.get(key_prefix)
        if t.attempt == 1:
            await kv.put(key_prefix, b"other")
        assert locks.is_locked(key_prefix) == (t.attempt > 1)
        t.put(key_prefix, b"mine")

    await kv.stm(body)
    assert not locks.is_locked(key_prefix)

    async def fails(t: STMTransaction) -> None:
        await body(t)
        if t.attempt > 1:
            raise LookupError

    with pytest.raises(LookupError):
        await kv.stm(fails)
    assert not locks.is_locked(key_prefix)


async def test_a_body_that_holds_its_lock_delays_others_but_does_not_stop_them(
    kv: KVClient, key_prefix: bytes
) -> None:
    async def other(t: STMTransaction) -> None:
        await t.get(key_prefix)
        t.put(key_prefix, b"other")

    async def body(t: STMTransaction) -> None:
        await t.get(key_prefix)
        if t.attempt < 3:
            # In its second attempt it has the lock, and this waits until the wait is over.
            await kv.stm(other, timeout=LONG)
        t.put(key_prefix, b"mine")

    assert (await kv.stm(body, timeout=LONG)).attempts == 3
