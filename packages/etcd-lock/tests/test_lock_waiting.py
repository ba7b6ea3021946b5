"""Clients that wait for one documented lock: a release wakes one of them, and none is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from lock_support import PATIENT, Program, unary_calls, until_queued

from etcd_channel import Channel
from etcd_lock import Lock
from etcd_testing import EtcdServer

KEY = b"lock"
WAITING = b"lock\0waiting/"


@pytest.fixture
async def programs(own_server: EtcdServer) -> AsyncIterator[list[Program]]:
    """Some programs, each with a channel of its own."""
    async with AsyncExitStack() as stack:
        yield [
            Program(await stack.enter_async_context(Channel(own_server.endpoint, **PATIENT)))
            for _ in range(12)
        ]


async def wait_behind(programs: list[Program]) -> tuple[list[asyncio.Task[Lock]], list[int]]:
    """Let all but the first program wait for the lock, one after the other.

    Returns the tasks, and the numbers of the programs in the order in which they get it.
    """
    order: list[int] = []

    async def acquire(number: int) -> Lock:
        lock = programs[number].locks.lock(KEY, timeout=None)
        assert await lock.acquire()
        order.append(number)
        return lock

    tasks = []
    for number in range(1, len(programs)):
        tasks.append(asyncio.create_task(acquire(number)))
        await until_queued(programs[0], WAITING, number)
    return tasks, order


async def test_the_clients_that_wait_get_the_lock_in_their_order_and_leave_no_key(
    programs: list[Program],
) -> None:
    holder = programs[0].locks.lock(KEY)
    await holder.acquire()
    tasks, order = await wait_behind(programs)
    await holder.release()
    for task in tasks:
        await (await asyncio.wait_for(task, 30)).release()
    assert order == list(range(1, len(programs)))
    assert (await programs[0].kv.get_prefix(KEY, count_only=True)).count == 0
    assert await programs[0].leases.leases() == []


async def test_a_release_makes_one_client_try_again_however_many_wait(
    programs: list[Program], own_server: EtcdServer
) -> None:
    holder = programs[0].locks.lock(KEY)
    await holder.acquire()
    tasks, _ = await wait_behind(programs)
    before = await unary_calls(own_server)
    await holder.release()
    second = await asyncio.wait_for(tasks[0], 30)
    # The next one has been told that it is behind the holder, and does not try.
    await until_held(programs[0])
    assert (await unary_calls(own_server) - before)["Txn"] == 2
    await end(tasks[1:])
    await second.release()


async def until_held(program: Program) -> None:
    """Wait until the first in the queue has marked its key as the holder's."""

    async def wait() -> None:
        while True:
            waiting = await program.kv.get_prefix(
                WAITING, sort_order="ascend", sort_target="create"
            )
            if waiting[0].value:
                return

    await asyncio.wait_for(wait(), 60)


async def end(tasks: list[asyncio.Task[Lock]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_lock_whose_key_an_operator_deletes_goes_to_the_first_that_waits(
    programs: list[Program],
) -> None:
    holder = programs[0].locks.lock(KEY)
    await holder.acquire()
    tasks, order = await wait_behind(programs[:4])
    await programs[0].kv.delete(KEY)
    first = await asyncio.wait_for(tasks[0], 30)
    assert order == [1]
    # So too if the one that had waited is the holder by now.
    await programs[0].kv.delete(KEY)
    second = await asyncio.wait_for(tasks[1], 30)
    assert [await holder.release(), await first.release(), await second.release()] == [
        False,
        False,
        True,
    ]
    await (await asyncio.wait_for(tasks[2], 30)).release()


async def test_clients_that_give_up_in_the_middle_do_not_keep_the_others(
    programs: list[Program],
) -> None:
    holder = programs[0].locks.lock(KEY)
    await holder.acquire()
    tasks, order = await wait_behind(programs[:6])
    await end([tasks[0], tasks[2]])
    await holder.release()
    for task in asyncio.as_completed([tasks[1], tasks[3], tasks[4]]):
        await (await asyncio.wait_for(task, 30)).release()
    assert sorted(order) == [2, 4, 5]


async def test_a_client_whose_lease_ends_while_it_waits_gets_the_lock_in_the_end(
    programs: list[Program],
) -> None:
    holder = programs[0].locks.lock(KEY)
    await holder.acquire()
    tasks, _ = await wait_behind(programs[:4])
    held = holder.lease
    assert held is not None
    for lease in await programs[0].leases.leases():
        if lease != held.id:
            await programs[0].leases.revoke_lease(lease)
    await holder.release()
    for task in asyncio.as_completed(tasks):
        await (await asyncio.wait_for(task, 30)).release()
    assert (await programs[0].kv.get_prefix(KEY, count_only=True)).count == 0


async def test_a_user_with_a_permission_for_the_key_alone_waits_too(own_server: EtcdServer) -> None:
    for command in (
        "role add locker",
        "role grant-permission locker readwrite lock",
        "user add root:secret",
        "user grant-role root root",
        "user add alice:secret",
        "user grant-role alice locker",
        "auth enable",
    ):
        await own_server.etcdctl(*command.split())
    async with AsyncExitStack() as stack:
        one, two = [
            Program(
                await stack.enter_async_context(
                    Channel(own_server.endpoint, username="alice", password="secret")
                )
            )
            for _ in range(2)
        ]
        holder, waiter = one.locks.lock(KEY), two.locks.lock(KEY)
        await holder.acquire()
        assert await waiter.acquire(timeout=0.2) is False
        waiting = asyncio.create_task(waiter.acquire(timeout=30))
        while not (await own_server.metrics())["etcd_debugging_mvcc_watcher_total"]:
            pass  # each iteration calls the server
        assert await holder.release() is True
        assert await waiting is True
        assert await waiter.release() is True


async def handed_over(programs: list[Program]) -> tuple[Lock, list[asyncio.Task[Lock]]]:
    """Release a lock on which others wait; return the first of them, which has it, and all."""
    holder = programs[0].locks.lock(KEY)
    await holder.acquire()
    tasks, _ = await wait_behind(programs)
    await holder.release()
    return await asyncio.wait_for(tasks[0], 60), tasks


async def test_a_lock_that_is_broken_while_a_client_from_the_queue_holds_it_goes_to_the_next(
    programs: list[Program],
) -> None:
    stuck, tasks = await handed_over(programs[:4])
    await end([tasks[1]])
    await programs[0].kv.delete(KEY)
    last = await asyncio.wait_for(tasks[2], 60)
    assert await stuck.release() is False
    assert await last.is_acquired()
    assert await last.release() is True
    assert (await programs[0].kv.get_prefix(KEY, count_only=True)).count == 0


async def test_a_lock_whose_holder_from_the_queue_loses_its_lease_goes_to_the_next(
    programs: list[Program],
) -> None:
    dead, tasks = await handed_over(programs[:3])
    assert dead.lease is not None
    await programs[0].leases.revoke_lease(dead.lease)
    assert await (await asyncio.wait_for(tasks[1], 60)).release() is True
    assert await dead.release() is False


async def test_the_next_client_waits_for_one_that_came_first_at_the_release(
    programs: list[Program],
) -> None:
    first, tasks = await handed_over(programs[:4])
    assert first.lease is not None
    # A release and an acquisition of a client that did not queue, in one.
    txn = programs[0].kv.transactions
    await programs[0].kv.transaction(
        [], [txn.delete(WAITING + b"%x" % first.lease.id), txn.put(KEY, b"another client")]
    )

    async def next_has_tried() -> None:
        while True:
            waiting = await programs[0].kv.get_prefix(WAITING, "ascend", "create")
            if waiting[0].version > 1:
                return

    await asyncio.wait_for(next_has_tried(), 60)
    assert not tasks[1].done()
    await programs[0].kv.delete(KEY)
    for task in tasks[1:]:
        assert await (await asyncio.wait_for(task, 60)).release() is True
    assert await first.release() is False
