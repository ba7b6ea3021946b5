"""The number of calls for an acquisition and a release, as counted by the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from lock_support import Program, unary_calls, until_queued

from etcd_channel import Channel
from etcd_lock import Election, LockClient, Mutex, QueueEntry
from etcd_testing import EtcdServer

Counted = Callable[[Awaitable[object]], Awaitable[dict[str, int]]]

TTL = 600
"""A time to live so long that no keep-alive is sent during the test."""


@pytest.fixture
async def counted(own_server: EtcdServer) -> Counted:
    """Await a call that returns True; return the unary RPCs that it made."""

    async def count(work: Awaitable[object], expected: object = True) -> dict[str, int]:
        before = await unary_calls(own_server)
        assert await work is expected
        calls: Counter[str] = await unary_calls(own_server)
        calls.subtract(before)
        return dict(+calls)

    return count


async def test_a_free_mutex_is_acquired_in_one_round_trip_and_released_in_one(
    alone: Program, counted: Counted
) -> None:
    async with alone.locks.session(TTL) as session:
        mutex = Mutex(session, b"mutex")
        for _ in range(2):
            assert await counted(mutex.acquire()) == {"Txn": 1}
            found = await alone.kv.get(mutex.key)
            assert found is not None
            assert mutex.fencing_token == found.create_revision
            assert await counted(mutex.release()) == {"Txn": 1}
            assert await alone.kv.get(mutex.key) is None


async def test_an_election_without_other_candidates_is_won_in_one_round_trip(
    alone: Program, counted: Counted
) -> None:
    async with alone.locks.session(TTL) as session:
        election = Election(session, b"election")
        assert await counted(election.campaign(b"value")) == {"Txn": 1}
        assert await counted(election.resign()) == {"Txn": 1}


async def test_a_held_mutex_is_acquired_in_two_round_trips_and_a_watch(
    alone: Program, counted: Counted
) -> None:
    async with alone.locks.session(TTL) as a, alone.locks.session(TTL) as b:
        holder, waiter = Mutex(a, b"mutex"), Mutex(b, b"mutex")
        await holder.acquire()

        waiting: asyncio.Task[bool]

        async def begin_to_wait() -> bool:
            nonlocal waiting
            waiting = asyncio.create_task(waiter.acquire())
            await until_queued(alone, b"mutex/", 2)
            return True

        calls = await counted(begin_to_wait())
        assert calls.pop("Range") >= 1  # a call of the test, which looks for the second key
        assert calls == {"Txn": 1}

        async def hand_over() -> bool:
            assert await holder.release() is True
            return await waiting

        assert await counted(hand_over()) == {"Txn": 1, "Range": 1}
        assert await counted(waiter.release()) == {"Txn": 1}


async def test_one_attempt_at_a_held_mutex_takes_one_call_and_one_to_withdraw(
    alone: Program, own_server: EtcdServer
) -> None:
    async with alone.locks.session(TTL) as a, alone.locks.session(TTL) as b:
        async with Mutex(a, b"mutex"):
            before = await unary_calls(own_server)
            assert await Mutex(b, b"mutex").acquire(timeout=0) is False
            assert await unary_calls(own_server) - before == {"Txn": 2}


async def test_a_place_of_a_semaphore_is_acquired_in_one_round_trip(
    alone: Program, counted: Counted
) -> None:
    async with alone.locks.session(TTL) as session:
        entries = [
            QueueEntry(session, b"semaphore/", places=3, suffix=b"%d" % number)
            for number in range(3)
        ]
        for entry in entries:
            assert await counted(entry.acquire()) == {"Txn": 1}
        for entry in entries:
            assert await counted(entry.leave()) == {"Txn": 1}


async def test_the_documented_lock_takes_one_call_for_its_lease_and_one_for_its_key(
    alone: Program, counted: Counted
) -> None:
    lock = alone.locks.lock(b"lock", TTL, keep_alive=True)
    assert await counted(lock.acquire()) == {"LeaseGrant": 1, "Txn": 1}
    assert await counted(lock.release()) == {"Txn": 1, "LeaseRevoke": 1}


async def test_a_held_documented_lock_takes_a_place_to_wait_and_one_call_when_it_is_released(
    alone: Program, counted: Counted
) -> None:
    holder = alone.locks.lock(b"lock")
    async with Channel(alone.channel.endpoints) as channel:
        waiter = LockClient(channel).lock(b"lock", timeout=None)
        await holder.acquire()
        waiting: asyncio.Task[bool]

        async def begin_to_wait() -> bool:
            nonlocal waiting
            waiting = asyncio.create_task(waiter.acquire())
            await until_queued(alone, b"lock\0waiting/", 1)
            return True

        calls = await counted(begin_to_wait())
        assert calls.pop("Range") >= 1  # a call of the test, which looks for the place
        assert calls == {"LeaseGrant": 1, "Txn": 1}

        async def hand_over() -> bool:
            assert await holder.release() is True
            return await waiting

        assert await counted(hand_over()) == {"Txn": 2, "LeaseRevoke": 1}
        assert await counted(waiter.release()) == {"Txn": 1, "LeaseRevoke": 1}
        assert not await alone.kv.get_all()
