"""Sessions and mutexes."""

from __future__ import annotations

import asyncio

import pytest
from lock_support import PATIENT, Program, until_queued

from etcd_channel import Channel, DuplicateLeaseError
from etcd_lock import LockLostError, LockTimeoutError, Mutex, Session
from etcd_testing import EtcdServer


async def test_a_mutex_has_etcds_own_key_layout(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        async with Mutex(session, key_prefix) as mutex:
            expected = key_prefix + b"/" + f"{session.lease.id:x}".encode()
            assert mutex.key == expected
            found = await program.kv.get(expected)
            assert found is not None
            assert (found.value, found.lease) == (b"", session.lease.id)
            assert mutex.fencing_token == found.create_revision
        assert await program.kv.get(expected) is None


async def test_fifty_contenders_acquire_a_mutex_in_the_order_of_their_calls(
    own_server: EtcdServer,
) -> None:
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        served: list[int] = []

        async def contend(number: int, session: Session) -> None:
            async with Mutex(session, b"mutex"):
                served.append(number)

        async with program.locks.session(60) as first:
            sessions = [await program.locks.session(60) for _ in range(50)]
            async with Mutex(first, b"mutex"):
                tasks = []
                for number, session in enumerate(sessions):
                    tasks.append(asyncio.create_task(contend(number, session)))
                    await until_queued(program, b"mutex/", number + 2)
            await asyncio.gather(*tasks)
            for session in sessions:
                await session.close()
        assert served == list(range(50))
        assert await program.leases.leases() == []
        assert not await program.kv.get_all()


async def test_a_release_wakes_one_waiter(own_server: EtcdServer) -> None:
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        async with (
            program.locks.session(60) as a,
            program.locks.session(60) as b,
            program.locks.session(60) as c,
        ):
            holder = Mutex(a, b"mutex")
            await holder.acquire()
            second, third = Mutex(b, b"mutex"), Mutex(c, b"mutex")
            tasks = [asyncio.create_task(second.acquire())]
            await until_queued(program, b"mutex/", 2)
            tasks.append(asyncio.create_task(third.acquire()))
            await until_queued(program, b"mutex/", 3)
            await holder.release()
            assert await tasks[0] is True
            assert not tasks[1].done()
            assert await third.is_acquired() is False
            await second.release()
            assert await tasks[1] is True
            await third.release()


async def test_a_mutex_that_is_not_acquired_in_time_leaves_the_queue(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        async with Mutex(a, key_prefix):
            assert await Mutex(b, key_prefix).acquire(timeout=0.2) is False
            assert await Mutex(b, key_prefix).acquire(timeout=0) is False
            with pytest.raises(LockTimeoutError):
                async with Mutex(b, key_prefix, timeout=0.1):
                    pytest.fail("the body ran")
            assert (await program.kv.get_prefix(key_prefix, count_only=True)).count == 1
        assert await Mutex(b, key_prefix).acquire(timeout=0) is True


async def test_a_cancelled_waiter_leaves_the_queue(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        async with Mutex(a, key_prefix):
            task = asyncio.create_task(Mutex(b, key_prefix).acquire())
            await until_queued(program, key_prefix + b"/", 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await program.kv.get_prefix(key_prefix, count_only=True)).count == 1


async def test_a_cancelled_acquire_leaves_nothing_wherever_it_is_cancelled(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        for turns in range(40):
            mutex = Mutex(session, key_prefix)
            task = asyncio.create_task(mutex.acquire())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                assert await mutex.release() is True
            assert await program.kv.get(mutex.key) is None


async def test_tasks_of_one_session_acquire_a_mutex_one_at_a_time(
    program: Program, key_prefix: bytes
) -> None:
    inside = 0

    async def work(session: Session) -> None:
        nonlocal inside
        async with Mutex(session, key_prefix):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    async with program.locks.session(60) as session:
        await asyncio.gather(*(work(session) for _ in range(10)))


async def test_a_waiter_gets_an_error_when_its_session_ends(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    # Keep-alives notice the end of `b` after a third of its time to live.
    async with program.locks.session(60) as a, program.locks.session(15) as b:
        async with Mutex(a, key_prefix):
            task = asyncio.create_task(Mutex(b, key_prefix).acquire())
            await until_queued(program, key_prefix + b"/", 2)
            await other.leases.revoke_lease(b.lease.id)
            with pytest.raises(LockLostError):
                await asyncio.wait_for(task, 60)


async def test_a_task_that_waits_for_another_of_its_session_gets_an_error_when_that_ends(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(15) as session:
        holder = Mutex(session, key_prefix)
        await holder.acquire()
        waiting = asyncio.create_task(Mutex(session, key_prefix).acquire())
        cancelled = asyncio.create_task(Mutex(session, key_prefix).acquire())
        late = asyncio.create_task(Mutex(session, key_prefix).acquire(timeout=0.01))
        assert await late is False
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        await other.leases.revoke_lease(session.lease.id)
        with pytest.raises(LockLostError):
            await asyncio.wait_for(waiting, 60)
        assert await holder.release() is False


async def test_a_waiter_whose_key_was_deleted_does_not_acquire_the_mutex(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        holder = Mutex(a, key_prefix)
        await holder.acquire()
        waiter = Mutex(b, key_prefix)
        task = asyncio.create_task(waiter.acquire())
        await until_queued(program, key_prefix + b"/", 2)
        await program.kv.delete(waiter.key)
        await holder.release()
        with pytest.raises(LockLostError):
            await asyncio.wait_for(task, 60)


async def test_a_lost_mutex_is_raised_at_the_end_of_the_body(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        with pytest.raises(LockLostError):
            async with Mutex(session, key_prefix) as mutex:
                await program.kv.delete(mutex.key)
        assert await mutex.release() is False


async def test_ownership_guards_a_transaction(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        mutex = Mutex(session, key_prefix)
        with pytest.raises(ValueError, match="not held"):
            mutex.ownership()
        await mutex.acquire()
        guard = mutex.ownership()
        assert (await program.kv.transaction([guard])).succeeded
        await mutex.release()
        assert not (await program.kv.transaction([guard])).succeeded


async def test_a_session_with_a_lease_id_in_use_is_refused(program: Program) -> None:
    async with program.locks.session(60) as session:
        with pytest.raises(DuplicateLeaseError):
            _ = await program.locks.session(10, lease_id=session.lease.id)


async def test_a_session_is_closed_twice_without_harm(program: Program) -> None:
    session = await program.locks.session(60)
    assert not session.is_lost
    await session.close()
    await session.close()
    assert session.is_lost
    assert session.lease.id not in await program.leases.leases()


async def test_wrong_arguments_of_a_session_and_a_mutex_are_named(
    program: Program, key_prefix: bytes
) -> None:
    with pytest.raises(ValueError, match="ttl must be at least 1"):
        _ = program.locks.session(0)
    with pytest.raises(ValueError, match="not open"):
        _ = program.locks.session(60).lease
    with pytest.raises(TypeError, match="session must be a Session"):
        Mutex(program.locks, key_prefix)  # type: ignore[arg-type]  # on purpose
    session = program.locks.session(60)
    with pytest.raises(TypeError, match="name must be bytes"):
        Mutex(session, "text")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="name must not be empty"):
        Mutex(session, b"")
