"""A documented lock whose release reaches etcd after the object has acquired the lock again."""

from __future__ import annotations

import pytest
from lock_late_support import LateTransactions
from lock_support import Program

from etcd_channel import ConnectionTimeoutError
from etcd_lock import Lock


async def test_a_release_that_arrives_late_leaves_the_next_hold_of_the_object(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    view = LateTransactions(program.channel)
    lock = Lock(view, key_prefix, 60)
    assert await lock.acquire()
    view.failing = 1
    with pytest.raises(ConnectionTimeoutError):
        await lock.release()
    assert await lock.acquire()
    assert await view.deliver() == 0
    assert await lock.is_acquired()
    assert await other.locks.lock(key_prefix, 60).acquire(timeout=0) is False
    assert await lock.release() is True
    assert not await program.kv.get_prefix(key_prefix)


async def test_a_lock_whose_key_was_made_anew_with_its_value_is_not_acquired(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60)
    assert await lock.acquire()
    assert await lock.is_acquired()
    await other.kv.delete(key_prefix)
    await other.kv.put(key_prefix, lock.uuid)
    assert not await lock.is_acquired()
    assert await lock.release() is False
    assert await other.kv.get(key_prefix) is not None
