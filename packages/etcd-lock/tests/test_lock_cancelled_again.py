"""Locks and queue entries are released, however often their task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from lock_support import PATIENT, Program

from etcd_channel import Channel
from etcd_lock import Election, Lock, Mutex, Session
from etcd_testing import EtcdServer, cancel_everywhere

SECONDS = 60


@pytest.fixture
async def alone(own_server: EtcdServer) -> AsyncIterator[Program]:
    """A program with a separate server, whose streams are open."""
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        async with program.locks.lock(b"first", keep_alive=True):
            pass
        yield program


def nothing_is_left(program: Program, *, leases: int = 0) -> Callable[[], Awaitable[None]]:
    """Return a check that no key and no further lease exists."""

    async def check() -> None:
        assert [kv.key for kv in await program.kv.get_all()] == []
        await only_these_leases(program, leases)

    return check


async def only_these_leases(program: Program, count: int) -> None:
    """Wait until there are `count` leases: the channel revokes one whose grant was
    cancelled after its caller has ended."""

    async def wait() -> None:
        while len(await program.leases.leases()) != count:
            pass  # each iteration calls the server

    await asyncio.wait_for(wait(), 60)


async def test_cancelling_the_acquisition_of_a_lock_leaves_nothing(alone: Program) -> None:
    made: list[Lock] = []

    async def acquire() -> bool:
        made.append(alone.locks.lock(b"key", keep_alive=True))
        return await made[-1].acquire()

    async def release(acquired: bool) -> None:
        assert acquired
        assert await made[-1].release()

    assert await cancel_everywhere(acquire, nothing_is_left(alone), undo=release)


async def test_cancelling_a_wait_for_a_lock_leaves_nothing(alone: Program) -> None:
    # It is not kept alive: its lease must last as long as the test.
    async with alone.locks.lock(b"key", 600) as held:

        async def acquire() -> bool:
            return await alone.locks.lock(b"key", keep_alive=True).acquire(0.005)

        async def only_the_holder_is_left() -> None:
            assert [kv.value for kv in await alone.kv.get_all()] == [held.uuid]
            await only_these_leases(alone, 1)

        async def nothing(acquired: bool) -> None:
            assert not acquired

        assert await cancel_everywhere(acquire, only_the_holder_is_left, undo=nothing)


async def test_a_cancelled_release_of_a_lock_leaves_nothing(alone: Program) -> None:
    lock = alone.locks.lock(b"key", keep_alive=True)

    async def release() -> bool:
        return await lock.release()

    async def acquired_again() -> None:
        # A release that was cancelled before it began has released nothing.
        await lock.release()
        await nothing_is_left(alone)()
        assert await lock.acquire()

    await lock.acquire()
    assert await cancel_everywhere(release, acquired_again)
    await lock.release()


@pytest.mark.parametrize("cancel_on_loss", [False, True])
async def test_a_cancelled_block_releases_its_lock(alone: Program, cancel_on_loss: bool) -> None:
    async def work() -> None:
        async with alone.locks.lock(b"key", 60, keep_alive=True, cancel_on_loss=cancel_on_loss):
            await asyncio.sleep(0)

    assert await cancel_everywhere(work, nothing_is_left(alone))


async def test_a_mutex_can_be_acquired_again_after_a_cancelled_acquisition(alone: Program) -> None:
    async with alone.locks.session(SECONDS) as session:
        mutex = Mutex(session, b"name")
        check = nothing_is_left(alone, leases=1)

        async def acquired_again() -> None:
            await check()
            assert await mutex.acquire()
            assert await mutex.is_acquired()
            assert await mutex.release()

        assert await cancel_everywhere(
            mutex.acquire, acquired_again, undo=lambda _: mutex.release()
        )


async def test_cancelling_a_wait_for_a_mutex_leaves_nothing(alone: Program) -> None:
    async with alone.locks.session(SECONDS) as a, alone.locks.session(SECONDS) as b:
        async with Mutex(a, b"name") as held:

            async def acquire() -> bool:
                return await Mutex(b, b"name").acquire(0.005)

            async def only_the_holder_is_left() -> None:
                assert [kv.key for kv in await alone.kv.get_all()] == [held.key]

            async def nothing(acquired: bool) -> None:
                assert not acquired

            assert await cancel_everywhere(acquire, only_the_holder_is_left, undo=nothing)


async def test_cancelling_a_wait_for_a_mutex_of_the_same_session_leaves_nothing(
    alone: Program,
) -> None:
    async with alone.locks.session(SECONDS) as session:
        holder, waiter = Mutex(session, b"name"), Mutex(session, b"name")
        releasing: list[asyncio.Task[bool]] = []

        async def acquire() -> bool:
            releasing.append(asyncio.create_task(holder.release()))
            return await waiter.acquire()

        async def release(acquired: bool) -> None:
            assert acquired
            assert await waiter.release()

        async def held_again() -> None:
            assert await releasing[-1]
            await nothing_is_left(alone, leases=1)()
            assert await holder.acquire(timeout=30)

        await holder.acquire()
        assert await cancel_everywhere(acquire, held_again, undo=release)
        await holder.release()


async def test_a_mutex_can_be_acquired_again_after_a_cancelled_release(alone: Program) -> None:
    async with alone.locks.session(SECONDS) as session:
        mutex = Mutex(session, b"name")

        async def release() -> bool:
            return await mutex.release()

        async def acquired_again() -> None:
            await mutex.release()
            await nothing_is_left(alone, leases=1)()
            assert await mutex.acquire()
            assert await mutex.is_acquired()

        await mutex.acquire()
        assert await cancel_everywhere(release, acquired_again)
        await mutex.release()


@pytest.mark.parametrize("cancel_on_loss", [False, True])
async def test_a_cancelled_block_releases_its_mutex(alone: Program, cancel_on_loss: bool) -> None:
    async with alone.locks.session(SECONDS) as session:

        async def work() -> None:
            async with Mutex(session, b"name", cancel_on_loss=cancel_on_loss):
                await asyncio.sleep(0)

        assert await cancel_everywhere(work, nothing_is_left(alone, leases=1))


async def test_a_session_can_campaign_again_after_a_cancelled_campaign(alone: Program) -> None:
    async with alone.locks.session(SECONDS) as session:
        election = Election(session, b"name")
        check = nothing_is_left(alone, leases=1)

        async def campaign() -> bool:
            return await election.campaign(b"value")

        async def elected_again() -> None:
            await check()
            assert await election.campaign(b"again")
            leader = await election.leader()
            assert leader is not None
            assert leader.value == b"again"
            assert await election.resign()

        assert await cancel_everywhere(campaign, elected_again, undo=lambda _: election.resign())


async def test_a_session_can_be_elected_again_after_a_cancelled_resignation(alone: Program) -> None:
    async with alone.locks.session(SECONDS) as session:
        election = Election(session, b"name")

        async def elected_again() -> None:
            await election.resign()
            await nothing_is_left(alone, leases=1)()
            assert await election.campaign(b"value")

        await election.campaign(b"value")
        assert await cancel_everywhere(election.resign, elected_again)
        await election.resign()


async def test_a_cancelled_proclamation_leaves_the_leader_elected(alone: Program) -> None:
    async with alone.locks.session(SECONDS) as session:
        election = Election(session, b"name")
        await election.campaign(b"before")

        async def proclaim() -> None:
            await election.proclaim(b"after")

        async def still_leads_and_can_proclaim() -> None:
            await election.proclaim(b"before")
            leader = await election.leader()
            assert leader is not None
            assert (leader.key, leader.value) == (election.key, b"before")

        assert await cancel_everywhere(proclaim, still_leads_and_can_proclaim)
        assert await election.resign()


async def test_cancelling_the_opening_or_closing_of_a_session_leaves_no_lease(
    alone: Program,
) -> None:
    async def work() -> None:
        async with alone.locks.session(SECONDS):
            await asyncio.sleep(0)

    async def open_session() -> Session:
        return await alone.locks.session(SECONDS)

    assert await cancel_everywhere(work, nothing_is_left(alone))
    assert await cancel_everywhere(
        open_session, nothing_is_left(alone), undo=lambda session: session.close()
    )


async def test_a_cancelled_server_lock_leaves_nothing(alone: Program) -> None:
    lease = await alone.leases.lease(SECONDS, keep_alive=True)

    async def lock() -> bytes:
        return await alone.server_side.server_lock(b"name", lease)

    assert await cancel_everywhere(
        lock, nothing_is_left(alone, leases=1), undo=alone.server_side.server_unlock
    )
    await lease.revoke()


async def test_a_cancelled_server_campaign_leaves_nothing(alone: Program) -> None:
    lease = await alone.leases.lease(SECONDS, keep_alive=True)

    async def campaign() -> object:
        return await alone.server_side.server_campaign(b"name", b"value", lease)

    async def resign(leader: object) -> None:
        await alone.server_side.server_resign(leader)  # type: ignore[arg-type]  # it is one

    assert await cancel_everywhere(campaign, nothing_is_left(alone, leases=1), undo=resign)
    await lease.revoke()


async def test_locks_are_released_when_gather_ends_before_its_tasks(
    own_server: EtcdServer,
) -> None:
    """`asyncio.gather` that is cancelled, by Ctrl-C say, does not wait for its other tasks."""

    async def program(all_begun: asyncio.Event) -> None:
        async with Channel(own_server.endpoint, **PATIENT) as channel:
            theirs = Program(channel)
            holding: list[str] = []

            async def hold(what: str) -> None:
                holding.append(what)
                if len(holding) == 5:
                    all_begun.set()
                await asyncio.Event().wait()

            async def lock() -> None:
                async with theirs.locks.lock(b"lock", ttl=SECONDS, keep_alive=True):
                    await hold("a lock")

            async def wait_for_lock() -> None:
                async with theirs.locks.lock(b"lock", ttl=SECONDS, timeout=None):
                    await hold("the lock of another")

            async def mutex() -> None:
                async with Session(channel) as session, Mutex(session, b"mutex"):
                    await hold("a mutex")

            async def candidacy() -> None:
                async with Session(channel) as session:
                    election = Election(session, b"election")
                    await election.campaign(b"me")
                    try:
                        await hold("an election")
                    finally:
                        await election.resign()

            async def wait_for_mutex() -> None:
                async with Session(channel) as session:
                    await hold("a session")
                    async with Mutex(session, b"mutex"):
                        pass

            async def lease() -> None:
                async with theirs.leases.lease(SECONDS):
                    await hold("a lease")

            await asyncio.gather(
                lock(), wait_for_lock(), mutex(), candidacy(), wait_for_mutex(), lease()
            )

    async with Channel(own_server.endpoint, **PATIENT) as channel:
        others = Program(channel)
        for _ in range(10):
            all_begun = asyncio.Event()
            running = asyncio.create_task(program(all_begun))
            await asyncio.wait_for(all_begun.wait(), SECONDS)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            assert [kv.key for kv in await others.kv.get_all()] == []
            assert list(await others.leases.leases()) == []
