"""Locks on a view of a channel that raises errors of its own, as a circuit breaker does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from lock_support import Program, until_queued

from etcd_channel import Channel, ChannelView
from etcd_lease import LeaseClient, LeaseExpiredError
from etcd_lock import (
    Election,
    LockLostError,
    MultiLock,
    Mutex,
    QueueEntry,
    ServerLockClient,
    Session,
)
from etcd_watch import WatchClient


class BreakerIsOpen(Exception):
    pass


class CircuitBreaker(ChannelView):
    """A view that blocks every call while the block is open."""

    is_open = False

    def call(self, *arguments: Any, **options: Any) -> Any:
        if self.is_open:
            raise BreakerIsOpen
        return super().call(*arguments, **options)


async def test_a_key_whose_deletion_a_view_refused_is_deleted_later(alone: Program) -> None:
    async with Channel(alone.channel.endpoints) as channel:
        view = CircuitBreaker(channel)
        async with Session(view, 60) as session, alone.locks.session(60) as other:
            mutex, entry = Mutex(session, b"mutex"), QueueEntry(session, b"queue/")
            await mutex.acquire()
            await entry.acquire()
            view.is_open = True
            with pytest.raises(BreakerIsOpen):
                await mutex.release()
            with pytest.raises(BreakerIsOpen):
                await entry.leave()
            assert mutex.fencing_token is None
            assert entry.admitted
            view.is_open = False
            assert await Mutex(other, b"mutex").acquire(timeout=40) is True
            assert await QueueEntry(other, b"queue/").acquire(timeout=40) is True
            assert await entry.leave() is True


async def test_a_body_is_cancelled_for_a_loss_whose_reason_a_view_refuses_to_ask_for(
    alone: Program,
) -> None:
    async with Channel(alone.channel.endpoints) as channel:
        view = CircuitBreaker(channel)
        async with Session(view, 60) as session:
            mutex = Mutex(session, b"mutex", cancel_on_loss=True)

            async def body() -> None:
                async with mutex:
                    view.is_open = True
                    try:
                        await alone.kv.delete(mutex.key)
                        await asyncio.wait_for(asyncio.Event().wait(), 60)
                    finally:
                        view.is_open = False

            with pytest.raises(LockLostError, match="was deleted"):
                await body()


async def test_a_cancelled_server_lock_ends_its_call_when_a_view_refuses_to_clean_up(
    alone: Program,
) -> None:
    async with Channel(alone.channel.endpoints) as channel, alone.leases.lease(60) as lease:
        view = CircuitBreaker(channel)
        await alone.server_side.server_lock(b"name")
        waiting = asyncio.create_task(ServerLockClient(view).server_lock(b"name", lease))
        await until_queued(alone, b"name/", 2)
        view.is_open = True
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # The server deletes the key when the call ends.
        async with WatchClient(alone.channel).watch_prefix(b"name/") as watch:
            while (await alone.kv.get_prefix(b"name/", count_only=True)).count > 1:
                await asyncio.wait_for(watch.__anext__(), 60)


@pytest.fixture
async def view(alone: Program) -> AsyncIterator[CircuitBreaker]:
    async with Channel(alone.channel.endpoints) as channel:
        yield CircuitBreaker(channel)


async def lose_it(
    block: AbstractAsyncContextManager[object], alone: Program, view: CircuitBreaker
) -> None:
    async with block:
        view.is_open = True
        await alone.kv.delete_prefix(b"")
        await asyncio.wait_for(asyncio.Event().wait(), 60)


async def test_a_loss_is_raised_when_a_view_refuses_the_release(
    alone: Program, view: CircuitBreaker
) -> None:
    async with Session(view, 60) as session:
        for lock in (
            Mutex(session, b"mutex", cancel_on_loss=True),
            MultiLock(session, [b"a", b"b"], cancel_on_loss=True),
        ):
            with pytest.raises(LockLostError, match="was deleted"):
                await lose_it(lock, alone, view)
            view.is_open = False


async def test_the_loss_of_a_lead_is_raised_when_a_view_refuses_the_resignation(
    alone: Program, view: CircuitBreaker
) -> None:
    async with Session(view, 60) as session:
        with pytest.raises(LockLostError, match="was deleted"):
            await lose_it(Election(session, b"election").lead(b""), alone, view)
        view.is_open = False


async def test_the_error_of_a_body_is_raised_when_a_view_refuses_the_release(
    view: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    async with Session(view, 60) as session:

        async def body() -> None:
            async with Mutex(session, b"mutex"):
                view.is_open = True
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await body()
        view.is_open = False
    assert "could not be released: BreakerIsOpen()" in caplog.text


async def test_an_expired_lease_is_reported_when_a_view_refuses_its_revocation(
    view: CircuitBreaker,
) -> None:
    async def body() -> None:
        async with LeaseClient(view).lease(1, cancel_on_loss=True):
            view.is_open = True
            await asyncio.wait_for(asyncio.Event().wait(), 60)

    with pytest.raises(LeaseExpiredError):
        await body()


async def test_a_cancellation_is_raised_unchanged_when_a_view_refuses_the_clean_up(
    view: CircuitBreaker, alone: Program
) -> None:
    async with alone.locks.session(60) as other, Session(view, 60) as session:
        await Mutex(other, b"mutex").acquire()
        waiting = asyncio.create_task(Mutex(session, b"mutex").acquire())
        await until_queued(alone, b"mutex/", 2)
        view.is_open = True
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        view.is_open = False


async def test_keys_of_a_multi_lock_whose_deletion_a_view_refused_are_deleted_later(
    view: CircuitBreaker, alone: Program
) -> None:
    async with Session(view, 60) as session:
        lock = MultiLock(session, [b"a", b"b"])
        await lock.acquire()
        view.is_open = True
        with pytest.raises(BreakerIsOpen):
            await lock.release()
        view.is_open = False
        async with alone.locks.session(60) as other:
            assert await MultiLock(other, [b"a", b"b"]).acquire(timeout=60) is True


async def test_a_multi_lock_whose_waiting_is_cancelled_withdraws_from_all_queues_later(
    view: CircuitBreaker, alone: Program
) -> None:
    async with alone.locks.session(60) as other, Session(view, 60) as session:
        holder = Mutex(other, b"a")
        await holder.acquire()
        waiting = asyncio.create_task(MultiLock(session, [b"a", b"b"]).acquire())
        await until_queued(alone, b"b/", 1)
        view.is_open = True
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        view.is_open = False
        await holder.release()
        assert await MultiLock(other, [b"a", b"b"]).acquire(timeout=60) is True
