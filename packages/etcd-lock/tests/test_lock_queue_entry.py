"""Queue entries: admission, values, and withdrawal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from lock_contenders import contenders
from lock_support import PATIENT, Program, until_queued

from etcd_channel import Channel, PreconditionFailedError
from etcd_lock import Election, LockLostError, Mutex, QueueEntry, Session
from etcd_testing import EtcdServer, cancel_everywhere


async def test_an_entry_has_a_value_a_lease_and_a_fencing_token(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        entry = QueueEntry(session, key_prefix)
        assert entry.key == key_prefix + b"%x" % session.lease.id
        assert entry.fencing_token is None
        await entry.enqueue(b"value")
        found = await program.kv.get(entry.key)
        assert found is not None
        assert (found.value, found.lease) == (b"value", session.lease.id)
        assert entry.fencing_token == found.create_revision
        assert not entry.admitted
        assert await entry.wait()
        assert entry.admitted
        assert await entry.is_admitted()
        assert await entry.leave() is True
        assert await entry.leave() is False
        assert entry.fencing_token is None
        assert not await entry.is_admitted()


async def test_an_entry_keeps_its_place_when_it_is_not_admitted_in_time(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        first, second, third = (
            QueueEntry(session, key_prefix, suffix=name) for name in (b"1", b"2", b"3")
        )
        for entry in (first, second, third):
            await entry.enqueue()
        token = second.fencing_token
        assert await second.wait(timeout=0) is False
        assert await second.wait(timeout=0.01) is False
        assert await second.wait(timeout=0) is False
        assert second.fencing_token == token
        await first.leave()
        assert await third.wait(timeout=0) is False
        assert await second.wait(timeout=0) is True


async def test_first_returns_the_oldest_entry(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        one, two = (QueueEntry(session, key_prefix, suffix=name) for name in (b"2", b"1"))
        assert await one.first() is None
        await one.enqueue(b"one")
        await two.enqueue(b"two")
        oldest = await two.first()
        assert oldest is not None
        assert (oldest.key, oldest.value) == (one.key, b"one")


async def test_a_value_is_replaced_while_the_entry_is_there(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        entry = QueueEntry(session, key_prefix)
        await entry.enqueue(b"before")
        assert await entry.replace(b"after") is True
        found = await program.kv.get(entry.key)
        assert found is not None
        assert (found.value, found.lease) == (b"after", session.lease.id)
        await program.kv.delete(entry.key)
        assert await entry.replace(b"too late") is False
        assert await program.kv.get(entry.key) is None
        assert entry.fencing_token is None


async def test_a_key_that_exists_with_the_same_lease_is_taken_over_with_its_place(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session, other.locks.session(60) as later:
        earlier = QueueEntry(session, key_prefix)
        await earlier.enqueue(b"earlier")
        waiting = QueueEntry(later, key_prefix)
        await waiting.enqueue()
        entry = QueueEntry(session, key_prefix)
        assert await entry.acquire(b"value", timeout=0) is True
        assert entry.fencing_token == earlier.fencing_token
        found = await program.kv.get(entry.key)
        assert found is not None
        assert found.value == b"value"
        assert await waiting.wait(timeout=0) is False


async def test_the_key_of_another_session_is_refused_and_left_alone(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        theirs = QueueEntry(a, key_prefix, suffix=b"same")
        await theirs.enqueue(b"theirs")
        with pytest.raises(PreconditionFailedError, match="not with the session's lease"):
            await QueueEntry(b, key_prefix, suffix=b"same").enqueue(b"ours")
        found = await program.kv.get(theirs.key)
        assert found is not None
        assert (found.value, found.lease) == (b"theirs", a.lease.id)


async def test_ownership_guards_transactions_until_the_entry_leaves(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        entry = QueueEntry(session, key_prefix)
        with pytest.raises(ValueError, match="no entry"):
            entry.ownership()
        await entry.acquire()
        guard = entry.ownership()
        assert (await program.kv.transaction([guard])).succeeded
        await entry.leave()
        await entry.acquire()
        assert not (await program.kv.transaction([guard])).succeeded


async def test_an_entry_waits_only_for_keys_of_its_behind_prefix(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        behind = QueueEntry(session, key_prefix + b"a/", behind=key_prefix + b"b/")
        await QueueEntry(session, key_prefix + b"a/", suffix=b"older").enqueue()
        assert await behind.acquire(timeout=0) is True
        await behind.leave()
        other = QueueEntry(session, key_prefix + b"b/")
        await other.enqueue()
        assert await behind.acquire(timeout=0) is False
        await behind.enqueue()
        waiting = asyncio.create_task(behind.wait())
        await other.leave()
        assert await asyncio.wait_for(waiting, 60) is True


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("prefix", [b"a/", b"b/"], ids=["its own queue", "another queue"])
async def test_an_entry_waits_for_each_of_several_older_ones(
    program: Program, key_prefix: bytes, places: int, prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        older = [
            QueueEntry(session, key_prefix + prefix, suffix=b"%d" % number) for number in range(4)
        ]
        for entry in older:
            await entry.enqueue()
        entry = QueueEntry(session, key_prefix + b"a/", behind=key_prefix + prefix, places=places)
        await entry.enqueue()
        assert await entry.wait(timeout=0) is False
        waiting = asyncio.create_task(entry.wait())
        for number in (3, 0, 1, 2)[: 5 - places]:
            assert await entry.is_admitted() is False
            assert not waiting.done()
            await older[number].leave()
        assert await asyncio.wait_for(waiting, 60) is True


async def test_three_places_are_given_in_the_order_of_the_calls(
    program: Program, key_prefix: bytes
) -> None:
    """A semaphore made of queue entries; the entries of a session have a suffix each."""

    @asynccontextmanager
    async def place(session: Session, name: str) -> AsyncIterator[None]:
        entry = QueueEntry(session, key_prefix + b"/", places=3, suffix=name.encode())
        assert await entry.acquire()
        try:
            yield
        finally:
            assert await entry.leave()

    async with program.locks.session(60) as a, program.locks.session(60) as b:
        async with contenders(
            program, key_prefix + b"/", lambda name: place((a, b)[int(name) % 2], name)
        ) as tasks:
            await tasks.start(*"01234567")
            await tasks.until_admitted(*"012")
            for number, holder in enumerate("10325", start=4):
                await tasks.leave(holder)
                await tasks.until_admitted(*"01234567"[:number])
            await tasks.leave(*"467")


@pytest.mark.parametrize("places", [1, 3])
async def test_waiting_raises_when_the_session_ends(
    program: Program, other: Program, key_prefix: bytes, places: int
) -> None:
    # Keep-alives notice the end of `b` after a third of its time to live.
    async with program.locks.session(60) as a, program.locks.session(15) as b:
        for number in range(places):
            await QueueEntry(a, key_prefix, suffix=b"%d" % number).enqueue()
        entry = QueueEntry(b, key_prefix, places=places)
        waiting = asyncio.create_task(entry.acquire())
        await until_queued(program, key_prefix, places + 1)
        await other.leases.revoke_lease(b.lease.id)
        with pytest.raises(LockLostError):
            await asyncio.wait_for(waiting, 60)
        assert entry.fencing_token is None
        # The entry may have been notified by the deletion of its key, before the session was.
        await b.lost
        with pytest.raises(LockLostError):
            await entry.enqueue()


async def test_an_entry_is_not_admitted_when_its_session_ended_after_it_was_made(
    program: Program, key_prefix: bytes
) -> None:
    session = await program.locks.session(60)
    entry = QueueEntry(session, key_prefix)
    await entry.enqueue()
    await session.close()
    with pytest.raises(LockLostError):
        await entry.wait()
    assert not entry.admitted


async def test_waiting_raises_when_the_entry_was_deleted(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        holder = QueueEntry(session, key_prefix, suffix=b"1")
        entry = QueueEntry(session, key_prefix, suffix=b"2")
        await holder.acquire()
        await entry.enqueue()
        assert await entry.wait(timeout=0) is False
        await program.kv.delete(entry.key)
        with pytest.raises(LockLostError):
            await entry.wait(timeout=0)


async def test_nothing_is_held_while_a_mutex_or_a_candidate_waits(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        async with Mutex(a, key_prefix):
            waiter = Mutex(b, key_prefix)
            waiting = asyncio.create_task(waiter.acquire())
            await until_queued(program, key_prefix + b"/", 2)
            assert waiter.fencing_token is None
            with pytest.raises(ValueError, match="not held"):
                waiter.ownership()
            assert await waiter.release() is False
        assert await asyncio.wait_for(waiting, 60) is True
        candidate = Election(a, key_prefix)
        standing = asyncio.create_task(candidate.campaign(b"value"))
        await until_queued(program, key_prefix + b"/", 2)
        assert await candidate.resign() is False
        assert candidate.fencing_token is None
        await waiter.release()
        assert await asyncio.wait_for(standing, 60) is True


async def test_a_cancelled_entry_is_withdrawn_however_often_it_is_cancelled(
    own_server: EtcdServer,
) -> None:
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        async with program.locks.session(60) as session:
            entry = QueueEntry(session, b"queue/", suffix=b"own")

            async def nothing_is_left() -> None:
                assert [kv.key for kv in await program.kv.get_prefix(b"queue/own")] == []
                assert entry.fencing_token is None

            async def leave(_: object) -> None:
                assert await entry.leave()

            assert await cancel_everywhere(entry.enqueue, nothing_is_left, undo=leave)
            assert await cancel_everywhere(entry.acquire, nothing_is_left, undo=leave)

            async def waiting_without_success(*, places: int) -> bool:
                nonlocal entry
                entry = QueueEntry(session, b"queue/", places=places, suffix=b"own")
                await entry.enqueue()
                return await entry.wait(timeout=0.005)

            for number in range(2):
                await QueueEntry(session, b"queue/", suffix=b"%d" % number).enqueue()
            for places in (1, 2):
                assert await cancel_everywhere(
                    lambda places=places: waiting_without_success(places=places),  # type: ignore[misc]  # its default is what binds it
                    nothing_is_left,
                    undo=leave,
                    every=3,
                )


async def test_wrong_arguments_of_an_entry_are_named(program: Program, key_prefix: bytes) -> None:
    session = program.locks.session(60)
    with pytest.raises(TypeError, match="session must be a Session"):
        QueueEntry(program.locks, key_prefix)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="prefix must be bytes"):
        QueueEntry(session, "text")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="behind must not be empty"):
        QueueEntry(session, key_prefix, behind=b"")
    with pytest.raises(ValueError, match="suffix must not be empty"):
        QueueEntry(session, key_prefix, suffix=b"")
    with pytest.raises(ValueError, match="places must be at least 1"):
        QueueEntry(session, key_prefix, places=0)
    entry = QueueEntry(session, key_prefix)
    with pytest.raises(ValueError, match="not open"):
        await entry.enqueue()
    with pytest.raises(ValueError, match="enqueue it first"):
        await entry.wait()
    async with session:
        with pytest.raises(TypeError, match="value must be bytes"):
            await entry.enqueue("text")  # type: ignore[arg-type]  # on purpose
        with pytest.raises(ValueError, match="timeout must be"):
            await entry.acquire(timeout=float("inf"))
