"""Recipes go on when the server is killed and starts again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from recipes_support import PATIENCE, Program, until, waiting

from etcd_channel import Channel, ClientError
from etcd_recipes import DoubleBarrier, Endpoint, Job, Part, RegistrationChange
from etcd_testing import EtcdServer


@pytest.fixture
async def program(server: EtcdServer) -> AsyncIterator[Program]:
    """A program whose calls wait for a server that starts again."""
    async with Channel(server.endpoint, connect_timeout=PATIENCE) as channel:
        yield Program(channel, server)


async def kill(server: EtcdServer) -> None:
    """Kill a server after it has committed what was written, which a snapshot makes it do."""
    await server.etcdctl("snapshot", "save", str(server.directory / "snapshot"))
    await server.kill()


async def kill_and_start(server: EtcdServer) -> None:
    await kill(server)
    await server.start()


async def test_those_who_wait_at_a_barrier_pass_after_a_restart(
    program: Program, server: EtcdServer
) -> None:
    barrier = program.recipes.barrier(b"gate")
    await barrier.hold()
    async with waiting(barrier.wait()) as wait:
        await program.until_watchers(1)
        await kill_and_start(server)
        await program.until_watchers(1)
        assert not wait.done()
        assert await barrier.release()
    await program.nothing_is_left()


async def test_a_latch_keeps_what_was_counted_before_a_restart(
    program: Program, server: EtcdServer
) -> None:
    latch = program.recipes.count_down_latch(b"start", 2)
    async with waiting(latch.wait()) as wait:
        await latch.count_down(b"a")
        await program.until_watchers(1)
        await kill_and_start(server)
        assert await latch.remaining() == 1
        assert not wait.done()
        await latch.count_down(b"b")


async def test_a_double_barrier_opens_for_one_who_came_before_a_restart(
    program: Program, server: EtcdServer
) -> None:
    async with program.locks.session(600) as one, program.locks.session(600) as two:
        first, second = DoubleBarrier(one, b"d", 2), DoubleBarrier(two, b"d", 2)
        async with waiting(first.enter()) as enter:
            await program.until_watchers(1)
            await kill_and_start(server)
            assert await second.enter(timeout=PATIENCE)
        assert enter.result() is True
        async with waiting(first.leave()):
            await program.until_watchers(1)
            await kill_and_start(server)
            assert await second.leave(timeout=PATIENCE)
    await program.nothing_is_left()


async def test_a_queue_keeps_its_items_and_its_consumer_over_a_restart(
    program: Program, server: EtcdServer
) -> None:
    queue = program.recipes.queue(b"q")
    async with waiting(queue.get()) as get:
        await program.until_watchers(1)
        await kill_and_start(server)
        await queue.put(b"1")
    assert get.result() == b"1"
    await queue.put(b"2")
    await queue.put(b"3")
    await kill_and_start(server)
    assert [await queue.get(), await queue.get(), await queue.get(timeout=0)] == [b"2", b"3", None]
    await program.nothing_is_left()


async def test_a_job_that_was_claimed_before_a_restart_is_done_once(
    program: Program, server: EtcdServer
) -> None:
    queue, attempts = program.recipes.work_queue(b"w"), list[int]()

    async def handle(job: Job) -> None:
        attempts.append(job.attempt)
        await kill_and_start(server)
        txn = program.kv.transactions
        result = await program.kv.transaction([job.ownership()], [txn.put(b"record", b"")])
        assert result.succeeded

    await queue.put(b"job")
    work = asyncio.create_task(queue.work(handle, ttl=600))

    async def done() -> bool:
        return await queue.size() == 0

    await until(done)
    work.cancel()
    await asyncio.wait([work])
    assert attempts == [1]
    assert await queue.dead() == {}
    assert await program.keys() == [b"record"]


async def test_additions_that_are_acknowledged_are_counted_over_a_restart(
    program: Program, server: EtcdServer
) -> None:
    counter, sums, in_doubt = program.recipes.counter(b"n"), list[int](), 0
    enough, restarted = asyncio.Event(), asyncio.Event()

    async def add() -> None:
        nonlocal in_doubt
        after = 0
        while after < 5:
            after += restarted.is_set()
            try:
                sums.append(await counter.add(timeout=PATIENCE))
            except ClientError as error:
                in_doubt += not error.definite
            if len(sums) >= 20:
                enough.set()

    async def restart() -> None:
        await enough.wait()
        # Old ones lose writes that they acknowledged just before.
        await (server.kill() if server.keeps_writes_when_killed else server.stop())
        await server.start()
        restarted.set()

    await asyncio.gather(restart(), *(add() for _ in range(6)))
    assert len(set(sums)) == len(sums)
    assert len(sums) <= await counter.get() <= len(sums) + in_doubt


async def test_a_group_is_followed_over_a_restart(program: Program, server: EtcdServer) -> None:
    group = program.recipes.group(b"g")
    async with program.locks.session(600) as session, group.member(session, b"1", member=b"a"):
        async with waiting(group.wait(2)) as wait:
            await program.until_watchers(1)
            await kill_and_start(server)
            assert not wait.done()
            async with group.member(session, b"2", member=b"b") as member:
                await asyncio.wait_for(asyncio.shield(wait), PATIENCE)
                assert await member.update(b"3")
                assert await group.members() == {b"a": b"1", b"b": b"3"}
    await program.nothing_is_left()


async def test_parts_stay_with_their_owners_over_a_restart(
    program: Program, server: EtcdServer
) -> None:
    begun: list[tuple[bytes, int]] = []
    at_work: set[bytes] = set()

    async def work(part: Part) -> None:
        begun.append((part.name, part.fencing_token))
        at_work.add(part.name)
        try:
            await asyncio.Event().wait()
        finally:
            at_work.remove(part.name)

    members = [program.recipes.partitioner(b"p", [b"a", b"b"], ttl=600) for _ in range(2)]
    tasks = [asyncio.create_task(member.run(work)) for member in members]

    async def one_each() -> bool:
        return all(len(member.owned) == 1 for member in members) and len(at_work) == 2

    await until(one_each)
    before = list(begun)
    await kill_and_start(server)
    # Each has seen the members again.
    await program.until_watchers(2)
    txn = program.kv.transactions
    compares = [txn.create(b"p/parts/" + name) == token for name, token in dict(begun).items()]
    assert (await program.kv.transaction(compares)).succeeded
    assert begun == before
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await program.nothing_is_left()


async def test_a_service_stays_registered_and_found_over_a_restart(
    program: Program, server: EtcdServer
) -> None:
    changes: list[RegistrationChange] = []
    async with (
        program.recipes.registration(b"web", "a:1", ttl=600, on_change=changes.append) as made,
        program.recipes.discovery(b"web") as discovery,
    ):
        await program.until_watchers(2)
        await kill(server)
        assert [each.address for each in discovery.endpoints] == ["a:1"]
        await server.start()
        await program.kv.put(b"web/b", Endpoint("b:1").to_json())
        async with aclosing(discovery.changes()) as seen:
            async for endpoints in seen:
                if [each.address for each in endpoints] == ["a:1", "b:1"]:
                    break
        assert made.is_registered
        assert [change.registered for change in changes] == [True]
