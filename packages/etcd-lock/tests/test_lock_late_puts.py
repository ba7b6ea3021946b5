"""A put of an entry that reaches etcd after the session has used its key again."""

from __future__ import annotations

import asyncio

import pytest
from lock_late_support import LateTransactions
from lock_support import Program

from etcd_channel import ConnectionTimeoutError
from etcd_lock import Mutex, Session

HANG = 60


@pytest.mark.parametrize("times", [1, 2])
async def test_a_put_that_arrives_after_a_later_entry_has_left_is_deleted(
    program: Program, other: Program, key_prefix: bytes, times: int
) -> None:
    view = LateTransactions(program.channel)
    async with Session(view, 60) as session, other.locks.session(60) as theirs:
        mutex = Mutex(session, key_prefix)
        view.failing = 1
        with pytest.raises(ConnectionTimeoutError):
            await mutex.acquire()
        for _ in range(times):
            assert await mutex.acquire(timeout=0)
            assert await mutex.release() is True
        assert await view.deliver() == 1
        assert await other.kv.get(mutex.key) is not None
        assert await Mutex(theirs, key_prefix).acquire(timeout=HANG)
        assert not session.is_lost


async def test_the_search_for_a_late_put_leaves_a_later_entry_alone(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    view = LateTransactions(program.channel)
    async with Session(view, 60) as session:
        mutex = Mutex(session, key_prefix)
        view.failing = 1
        with pytest.raises(ConnectionTimeoutError):
            await mutex.acquire()
        assert await mutex.acquire(timeout=0)
        assert await view.deliver() == 0
        assert mutex.key in session._pending_deletions._suspended
        assert not session._pending_deletions._pending
        assert await mutex.is_acquired()
        # Its release fails, and then there are two keys to delete, one after the other.
        view.failing = 2
        with pytest.raises(ConnectionTimeoutError):
            await mutex.release()
        async with program.locks.session(60) as theirs:
            assert await Mutex(theirs, key_prefix).acquire(timeout=HANG)
            assert await asyncio.wait_for(view.deliver(), HANG) == 0
