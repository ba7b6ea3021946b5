"""Entries whose calls get no answer, because the connection breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lock_support import PATIENT, Program

from etcd_channel import Channel, ChannelView, ClientError, ConnectionFailedError
from etcd_lock import MultiLock, Mutex, QueueEntry, Semaphore, Session
from etcd_testing import EtcdServer, FaultProxy
from etcd_watch import EventKind, WatchClient


@pytest.fixture
async def proxy(own_server: EtcdServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(own_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def faulty(proxy: FaultProxy) -> AsyncIterator[Program]:
    """A program on a proxy that can break its connections."""
    async with Channel(proxy.endpoint, **PATIENT) as channel:
        yield Program(channel)


@pytest.fixture
async def hasty(proxy: FaultProxy) -> AsyncIterator[Program]:
    """A program on the proxy whose calls fail soon after the proxy refuses connections."""
    async with Channel(proxy.endpoint, connect_timeout=4, timeout=60) as channel:
        yield Program(channel)


@pytest.fixture
async def witness(own_server: EtcdServer) -> AsyncIterator[Program]:
    """A program that is connected to the server directly."""
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        yield Program(channel)


class Hurried(ChannelView):
    """Limits the calls without a timeout of their own to `most` seconds."""

    most: float | None = None

    async def call(self, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        limit = self.most if timeout is None else timeout
        return await super().call(*args, timeout=limit, **options)


async def until_connected(program: Program) -> None:
    while True:
        with contextlib.suppress(ConnectionFailedError):
            await program.channel.connect()
            return


async def test_an_acquisition_whose_answer_is_lost_leaves_no_key(
    faulty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with witness.locks.session(60) as other, faulty.locks.session(60) as session:
        mutex = Mutex(session, b"mutex")
        killed = proxy.kill_next_reply()
        with pytest.raises(ClientError) as raised:
            await mutex.acquire()
        assert killed.done()
        assert not raised.value.definite
        assert mutex.fencing_token is None
        assert await witness.kv.get(mutex.key) is None
        assert await Mutex(other, b"mutex").acquire(timeout=0) is True


async def leave_a_key(mutex: Mutex, proxy: FaultProxy, witness: Program) -> int:
    """Let an acquisition and its withdrawal fail; return the create revision of the key."""
    killed = proxy.kill_next_reply()
    proxy.refuse()
    with pytest.raises(ClientError) as raised:
        await mutex.acquire()
    assert killed.done()
    assert not raised.value.definite
    left = await witness.kv.get(mutex.key)
    assert left is not None
    return left.create_revision


async def test_an_entry_that_could_not_be_withdrawn_is_deleted_when_etcd_can_be_reached_again(
    hasty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with witness.locks.session(60) as other, hasty.locks.session(60) as session:
        await leave_a_key(Mutex(session, b"mutex"), proxy, witness)
        later = QueueEntry(other, b"mutex/")
        await later.enqueue()
        assert await later.wait(timeout=0) is False
        proxy.heal()
        assert await later.wait(timeout=40) is True
        assert not session.is_lost


async def test_the_next_acquisition_does_not_take_over_an_entry_that_could_not_be_withdrawn(
    hasty: Program, proxy: FaultProxy, witness: Program
) -> None:
    """A late deletion of the old entry would delete the new one."""
    async with hasty.locks.session(60) as session:
        mutex = Mutex(session, b"mutex")
        left = await leave_a_key(mutex, proxy, witness)
        proxy.heal()
        await asyncio.wait_for(until_connected(hasty), 60)
        assert await mutex.acquire(timeout=0) is True
        assert mutex.fencing_token is not None
        assert mutex.fencing_token > left
        assert await mutex.is_acquired() is True
        assert await mutex.release() is True
        assert await witness.kv.get(mutex.key) is None


async def test_a_session_with_a_key_that_it_could_not_delete_can_be_closed(
    hasty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with hasty.locks.session(60) as session:
        await leave_a_key(Mutex(session, b"mutex"), proxy, witness)
    assert session.is_lost
    await asyncio.wait_for(hasty.channel.close(), 60)


async def test_a_release_whose_answer_is_lost_is_sent_again(
    faulty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with faulty.locks.session(60) as session:
        mutex = Mutex(session, b"mutex")
        await mutex.acquire()
        killed = proxy.kill_next_reply()
        assert await mutex.release() is True
        assert killed.done()
        assert await witness.kv.get(mutex.key) is None
        assert await mutex.acquire(timeout=0) is True


async def test_a_key_that_arrives_after_its_entry_was_withdrawn_is_deleted(
    own_server: EtcdServer, witness: Program
) -> None:
    """A disconnected member may deliver the put late; here the witness puts the key."""
    async with (
        FaultProxy(own_server.endpoint) as one,
        FaultProxy(own_server.endpoint) as two,
        Channel([one.endpoint, two.endpoint], **PATIENT) as channel,
        Session(view := Hurried(channel), 60) as session,
    ):
        used = one if one.counters.open else two
        entry = QueueEntry(session, b"queue/")
        async with WatchClient(witness.channel).watch(entry.key) as events:
            used.black_hole("to_server")
            view.most = 1
            with pytest.raises(ClientError):
                await entry.enqueue()
            view.most = None
            assert await witness.kv.get(entry.key) is None
            used.reset()
            await witness.kv.put(entry.key, b"", session.lease)
            put = await asyncio.wait_for(events.__anext__(), 60)
            deletion = await asyncio.wait_for(events.__anext__(), 60)
        assert (put.kind, deletion.kind) == (EventKind.PUT, EventKind.DELETE)
        assert put.kv.lease == session.lease.id
        assert not session.is_lost


async def test_an_entry_whose_leave_failed_is_deleted_when_etcd_can_be_reached_again(
    hasty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with witness.locks.session(60) as other, hasty.locks.session(60) as session:
        entry, next_one = QueueEntry(session, b"queue/"), QueueEntry(other, b"queue/")
        await entry.acquire()
        await next_one.enqueue()
        proxy.refuse()
        proxy.reset()
        with pytest.raises(ClientError):
            await entry.leave()
        proxy.heal()
        assert await next_one.wait(timeout=40) is True
        assert await entry.leave() is True
        assert await entry.leave() is False


async def test_leave_can_be_called_again_after_it_failed(
    hasty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with witness.locks.session(60) as other, hasty.locks.session(60) as session:
        entry, next_one = QueueEntry(session, b"queue/"), QueueEntry(other, b"queue/")
        await entry.acquire()
        token = entry.fencing_token
        await next_one.enqueue()
        proxy.refuse()
        proxy.reset()
        with pytest.raises(ClientError):
            await entry.leave()
        assert (entry.fencing_token, entry.admitted) == (token, True)
        assert await next_one.wait(timeout=0) is False
        proxy.heal()
        await asyncio.wait_for(until_connected(hasty), 60)
        assert await entry.leave() is True
        assert await next_one.wait(timeout=0) is True


async def test_a_mutex_that_could_not_be_released_is_acquired_again_by_its_session(
    hasty: Program, proxy: FaultProxy
) -> None:
    async with hasty.locks.session(60) as session:
        mutex, next_one = Mutex(session, b"mutex"), Mutex(session, b"mutex")
        await mutex.acquire()
        token = mutex.fencing_token
        assert token is not None
        proxy.refuse()
        proxy.reset()
        with pytest.raises(ClientError):
            await mutex.release()
        assert mutex.fencing_token is None
        assert await mutex.release() is False
        proxy.heal()
        await asyncio.wait_for(until_connected(hasty), 60)
        assert await next_one.acquire(timeout=0) is True
        assert next_one.fencing_token is not None
        assert next_one.fencing_token > token
        assert await next_one.release() is True


async def test_a_waiting_entry_reads_again_when_an_answer_is_lost(
    faulty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with witness.locks.session(60) as other, faulty.locks.session(60) as session:
        holder, waiter = QueueEntry(other, b"queue/"), QueueEntry(session, b"queue/")
        await holder.acquire()
        await waiter.enqueue()
        assert await waiter.wait(timeout=0) is False
        killed = proxy.kill_next_reply()
        assert await waiter.wait(timeout=0) is False
        assert killed.done()
        await holder.leave()
        killed = proxy.kill_next_reply()
        assert await waiter.wait(timeout=0) is True
        assert killed.done()


# Several keys, and several places ------------------------------------------------------------


async def test_a_multi_lock_whose_answer_is_lost_leaves_no_key(
    faulty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with faulty.locks.session(60) as session:
        lock = MultiLock(session, [b"a", b"b"])
        killed = proxy.kill_next_reply()
        with pytest.raises(ClientError) as raised:
            await lock.acquire()
        assert killed.done()
        assert not raised.value.definite
        assert lock.fencing_token is None
        assert not await witness.kv.get_all()
        assert await lock.acquire(timeout=0) is True
        assert await lock.release() is True


async def test_a_multi_lock_that_is_released_without_an_answer_was_held(
    faulty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with faulty.locks.session(60) as session:
        lock = MultiLock(session, [b"a", b"b"])
        await lock.acquire()
        killed = proxy.kill_next_reply()
        assert await lock.release() is True
        assert killed.done()
        assert not await witness.kv.get_all()


async def test_a_permit_whose_answer_is_lost_leaves_no_key(
    faulty: Program, proxy: FaultProxy, witness: Program
) -> None:
    async with faulty.locks.session(60) as session:
        permit = Semaphore(session, b"semaphore", 2).permit()
        killed = proxy.kill_next_reply()
        with pytest.raises(ClientError):
            await permit.acquire()
        assert killed.done()
        assert not await witness.kv.get_all()
        assert await permit.acquire(timeout=0) is True
        assert await permit.release() is True
