"""Double barriers: a number of programs begin together and end together."""

from __future__ import annotations

import asyncio

import pytest
from recipes_support import PATIENCE, Program, broken_connections

from etcd_channel import ClientError, PreconditionFailedError
from etcd_lock import LockLostError, LockTimeoutError, Session
from etcd_recipes import DoubleBarrier
from etcd_testing import FaultProxy, cancel_everywhere


async def test_all_begin_together_and_end_together(program: Program, other: Program) -> None:
    inside: set[int] = set()
    events: list[tuple[str, int]] = []

    async def take_part(number: int, session: Session, may_leave: asyncio.Event) -> None:
        async with DoubleBarrier(session, b"d", 3):
            events.append(("in", number))
            inside.add(number)
            await may_leave.wait()
        events.append(("out", number))

    sessions = [await each.locks.session(600) for each in (program, other, program)]
    leave = [asyncio.Event() for _ in sessions]
    tasks = [
        asyncio.create_task(take_part(number, session, leave[number]))
        for number, session in enumerate(sessions[:2])
    ]
    await program.until_watchers(2)
    assert events == []
    tasks.append(asyncio.create_task(take_part(2, sessions[2], leave[2])))
    while len(inside) < 3:
        await program.kv.get(b"any")
    leave[0].set()
    leave[1].set()
    await program.until_watchers(2)
    assert len(events) == 3
    leave[2].set()
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert [kind for kind, _ in events] == ["in"] * 3 + ["out"] * 3
    for session in sessions:
        await session.close()
    await program.nothing_is_left()


async def test_rounds_follow_each_other_with_more_than_fit_into_one(program: Program) -> None:
    sessions = [await program.locks.session(600) for _ in range(6)]
    inside = most = rounds = 0

    async def take_part(session: Session) -> None:
        nonlocal inside, most, rounds
        for _ in range(4):
            async with DoubleBarrier(session, b"d", 2):
                inside += 1
                most = max(most, inside)
                rounds += 1
                await program.kv.get(b"any")
                inside -= 1

    await asyncio.wait_for(asyncio.gather(*map(take_part, sessions)), PATIENCE)
    assert (most, rounds) == (2, 24)
    for session in sessions:
        await session.close()
    await program.nothing_is_left()


async def test_entering_ends_with_its_time_and_leaves_nothing(program: Program) -> None:
    async with program.locks.session(600) as session:
        barrier = DoubleBarrier(session, b"d", 2, timeout=0.05)
        assert not await barrier.enter(timeout=0)
        assert not await barrier.enter(timeout=0.05)
        with pytest.raises(LockTimeoutError, match="not all 2 came"):
            async with barrier:
                raise AssertionError("the body ran")
        assert await program.keys() == []
        alone = DoubleBarrier(session, b"d", 1)
        assert await alone.enter(timeout=0)
        assert await alone.leave(timeout=0)
        with pytest.raises(ValueError, match="not in the double barrier"):
            await alone.leave()
    await program.nothing_is_left()


async def test_leaving_ends_with_its_time(program: Program) -> None:
    async with program.locks.session(600) as one, program.locks.session(600) as two:
        barriers = [DoubleBarrier(session, b"d", 2) for session in (one, two)]
        assert all(await asyncio.gather(*(barrier.enter() for barrier in barriers)))
        with pytest.raises(ValueError, match="already"):
            await barriers[0].enter()
        assert not await barriers[0].leave(timeout=0.05)
        assert await barriers[1].leave(timeout=0)
    await program.nothing_is_left()


async def test_one_that_loses_its_session_does_not_stop_the_others(
    program: Program, other: Program
) -> None:
    dying = await other.locks.session(600)
    async with program.locks.session(600) as session:
        mine, others = DoubleBarrier(session, b"d", 2), DoubleBarrier(dying, b"d", 2)
        assert all(await asyncio.gather(mine.enter(), others.enter()))
        leave = asyncio.create_task(mine.leave())
        await program.until_watchers(1)
        assert not leave.done()
        await dying.close()
        assert await asyncio.wait_for(leave, PATIENCE)
        # A round whose members have all died leaves its mark; the next one removes it.
        await program.kv.put(b"d/ready", b"3")
        assert not await mine.enter(timeout=0.05)
    await program.nothing_is_left()


async def test_one_that_waits_is_told_when_its_session_is_lost(program: Program) -> None:
    session = await program.locks.session(600)
    enter = asyncio.create_task(DoubleBarrier(session, b"d", 2).enter())
    await program.until_watchers(1)
    await program.server.etcdctl("lease", "revoke", f"{session.lease.id:016x}")
    with pytest.raises(LockLostError, match="is lost"):
        await asyncio.wait_for(enter, PATIENCE)
    await program.nothing_is_left()


async def test_those_who_disagree_on_the_number_are_told(program: Program) -> None:
    async with program.locks.session(600) as one, program.locks.session(600) as two:
        enter = asyncio.create_task(DoubleBarrier(one, b"d", 2).enter())
        await program.until_watchers(1)
        with pytest.raises(PreconditionFailedError, match="another number than 3"):
            await DoubleBarrier(two, b"d", 3).enter()
        other = DoubleBarrier(two, b"d", 2)
        assert await other.enter()
        assert await asyncio.wait_for(enter, PATIENCE)
        await other.leave(timeout=0)


async def test_rounds_go_on_while_connections_break(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    inside = most = 0

    async def take_part(session: Session, rounds: int) -> None:
        nonlocal inside, most
        while rounds:
            barrier = DoubleBarrier(session, b"d", 2)
            try:
                if not await barrier.enter(timeout=5):
                    continue
                inside += 1
                most = max(most, inside)
                rounds -= 1
                inside -= 1
                await barrier.leave(timeout=5)
            except ClientError:  # of every round
                continue

    async with faulty.locks.session(600) as one, faulty.locks.session(600) as two:
        tasks = [asyncio.create_task(take_part(session, 5)) for session in (one, two)]
        async with broken_connections(proxy, 0.2):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert any(not task.cancelled() and task.exception() is None for task in tasks)
    assert most <= 2


async def test_cancelling_leaves_nothing(program: Program) -> None:
    async with program.locks.session(600) as session:

        async def enter() -> bool:
            return await DoubleBarrier(session, b"d", 2).enter(timeout=0.005)

        async def alone() -> None:
            async with DoubleBarrier(session, b"d", 1):
                await asyncio.sleep(0)

        async def no_waiter() -> None:
            assert not [key for key in await program.keys() if key.startswith(b"d/waiters/")]
            await program.until_watchers(0)

        assert await cancel_everywhere(enter, no_waiter, every=19)
        assert await cancel_everywhere(alone, no_waiter, every=5)
