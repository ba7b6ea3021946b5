"""The timeout of `acquire`: its argument, or else the timeout of the lock or mutex."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from lock_support import Program

from etcd_lock import Lock, LockTimeoutError, Mutex

LONG = 60


async def test_acquire_without_an_argument_waits_for_the_locks_default_timeout(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.lock(key_prefix, LONG):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert await other.locks.lock(key_prefix, timeout=0.3).acquire() is False
        assert loop.time() - begun >= 0.3
        assert await other.locks.lock(key_prefix, timeout=0).acquire() is False


async def test_an_argument_of_acquire_overrides_the_locks_default_timeout(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    patient = other.locks.lock(key_prefix, timeout=None)
    hasty = other.locks.lock(key_prefix, timeout=0)
    holder = program.locks.lock(key_prefix, LONG)
    await holder.acquire()
    assert await patient.acquire(0) is False
    waiting = asyncio.create_task(hasty.acquire(timeout=None))
    assert await patient.acquire(timeout=0.05) is False
    await holder.release()
    assert await asyncio.wait_for(waiting, LONG) is True
    await hasty.release()


async def test_a_timeout_that_is_set_on_the_lock_applies_to_the_next_acquire(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = other.locks.lock(key_prefix, timeout=None)
    lock.timeout = 0
    async with program.locks.lock(key_prefix, LONG):
        assert await lock.acquire() is False
        with pytest.raises(LockTimeoutError):
            async with lock:
                pytest.fail("the body ran")


async def test_acquire_without_an_argument_waits_for_the_mutexs_default_timeout(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(LONG) as a, other.locks.session(LONG) as b:
        async with Mutex(a, key_prefix) as held:
            assert await Mutex(b, key_prefix, timeout=0.05).acquire() is False
            hasty = Mutex(b, key_prefix, timeout=0)
            assert await hasty.acquire() is False
            waiting = asyncio.create_task(hasty.acquire(timeout=None))
            await held.release()
            assert await asyncio.wait_for(waiting, LONG) is True
            await hasty.release()
            await held.acquire()


def test_the_documented_default_of_acquire_is_what_help_shows() -> None:
    timeout = inspect.signature(Lock.acquire).parameters["timeout"]
    assert timeout.default == 10
    assert str(timeout).endswith("= 10")
