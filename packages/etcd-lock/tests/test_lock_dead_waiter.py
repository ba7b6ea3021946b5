"""Clients that wait behind a dead one, which is woken and does not try."""

from __future__ import annotations

import asyncio

import pytest
from lock_support import Program, until_queued

from etcd_lock import _contention

HANG = 60


async def release_to_a_dead_client(
    program: Program, other: Program, key: bytes, timeout: float | None
) -> bool:
    """Wait behind a dead client, release the lock, and return whether the one behind gets it."""
    holder, waiter = program.locks.lock(key, 600), other.locks.lock(key, 600)
    assert await holder.acquire()
    lease = await program.leases.lease(600)
    await program.kv.put(key + b"\0waiting/%x" % lease.id, b"", lease)
    waiting = asyncio.create_task(waiter.acquire(timeout))
    await until_queued(program, key + b"\0waiting/", 2)
    assert await holder.release() is True
    acquired = await asyncio.wait_for(waiting, HANG)
    await waiter.release()
    await lease.revoke()
    return acquired


async def test_a_client_behind_a_dead_one_tries_when_its_time_is_over(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    assert await release_to_a_dead_client(program, other, key_prefix, 10)


async def test_a_client_behind_a_dead_one_tries_from_time_to_time(
    program: Program, other: Program, key_prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_contention, "_LOOK_INTERVAL", 1)
    assert await release_to_a_dead_client(program, other, key_prefix, None)
