"""A session that several tasks open at once has one lease."""

from __future__ import annotations

import asyncio

import pytest
from lock_support import Program

from etcd_lock import Session


async def opened(session: Session) -> int:
    return (await session).lease.id


async def test_a_session_that_tasks_open_at_once_has_one_lease(alone: Program) -> None:
    session = alone.locks.session(60)
    ids = await asyncio.gather(*(opened(session) for _ in range(5)))
    assert set(ids) == {session.lease.id}
    assert await alone.leases.leases() == [session.lease.id]
    await session.close()


async def test_a_task_that_is_cancelled_lets_the_next_open_the_session(alone: Program) -> None:
    session = alone.locks.session(60)
    first, second = (asyncio.create_task(opened(session)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 60) == session.lease.id

    async def until_the_other_is_revoked() -> None:
        while await alone.leases.leases() != [session.lease.id]:
            pass  # each iteration calls the server

    await asyncio.wait_for(until_the_other_is_revoked(), 60)
    await session.close()
