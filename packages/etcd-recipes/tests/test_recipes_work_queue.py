"""Queues of work that is done at least once."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from recipes_support import PATIENCE, Program, broken_connections, until, waiting

from etcd_lease import LeaseExpiredError
from etcd_recipes import ClaimLostError, Job, WorkQueue
from etcd_testing import FaultProxy, cancel_everywhere


async def test_jobs_are_claimed_in_order_and_gone_when_they_are_done(
    program: Program, other: Program
) -> None:
    queue = program.recipes.work_queue(b"w")
    ids = [await queue.put(b"%d" % number) for number in range(3)]
    async with other.locks.session(600) as session:
        taker = other.recipes.work_queue(b"w")
        for number in range(3):
            job = await taker.take(session)
            assert job is not None
            assert (job.id, job.value, job.attempt) == (ids[number], b"%d" % number, 1)
            async with job:
                assert await queue.size() == 3 - number
        assert await queue.size() == 0
        assert await taker.take(session, timeout=0) is None
        assert await taker.take(session, timeout=0.05) is None
    await program.nothing_is_left()


async def test_a_job_is_claimed_by_one_at_a_time(program: Program) -> None:
    queue = program.recipes.work_queue(b"w")
    async with program.locks.session(600) as one, program.locks.session(600) as two:
        await queue.put(b"job")
        job = await queue.take(one)
        assert job is not None
        assert await queue.take(two, timeout=0) is None
        async with waiting(queue.take(two)) as take:
            await program.until_watchers(1)
            assert await job.give_back()
        assert not await job.done()
        again = take.result()
        assert again.attempt == 2
        assert again.fencing_token > job.fencing_token
        txn = program.kv.transactions
        for holder, holds in ((job, False), (again, True)):
            result = await program.kv.transaction([holder.ownership()], [txn.put(b"x", b"")])
            assert result.succeeded is holds
        assert await again.done()
        assert not await again.done()


async def test_a_body_that_raises_gives_the_job_back(program: Program) -> None:
    queue = program.recipes.work_queue(b"w")
    attempts: list[int] = []
    await queue.put(b"job")
    async with program.locks.session(600) as session:

        async def fail() -> None:
            job = await queue.take(session)
            assert job is not None
            async with job:
                attempts.append(job.attempt)
                raise ZeroDivisionError

        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await fail()
        assert attempts == [1, 2]
        assert await queue.size() == 1


async def test_after_the_last_attempt_a_job_is_dead_until_it_is_revived(program: Program) -> None:
    queue = program.recipes.work_queue(b"w", attempts=2)
    job_id = await queue.put(b"job")
    async with program.locks.session(600) as session:
        for _ in range(2):
            job = await queue.take(session)
            assert job is not None
            assert await job.give_back()
        assert await queue.take(session, timeout=0) is None
        assert await queue.dead() == {job_id: b"job"}
        assert await queue.size() == 0
        assert await queue.revive(job_id)
        assert not await queue.revive(job_id)
        job = await queue.take(session)
        assert job is not None
        assert job.attempt == 1
        assert await job.give_up()
        assert await queue.dead() == {job_id: b"job"}
    assert await program.keys() == [b"w/dead/" + job_id]


async def test_a_body_is_cancelled_when_its_session_is_lost_and_another_gets_the_job(
    program: Program, other: Program
) -> None:
    queue = program.recipes.work_queue(b"w")
    job_id = await queue.put(b"job")
    session = await program.locks.session(12)
    job = await queue.take(session)
    assert job is not None

    async def work() -> None:
        async with job:
            await program.server.etcdctl("lease", "revoke", f"{session.lease.id:016x}")
            await asyncio.sleep(PATIENCE)

    async with other.locks.session(600) as alive, waiting(queue.take(alive)) as take:
        await program.until_watchers(1)
        with pytest.raises(ClaimLostError, match="another one may have it") as caught:
            await work()
        assert caught.value.job_id == job_id
        assert isinstance(caught.value.__cause__, LeaseExpiredError)
        assert not await job.done()
        with pytest.raises(LeaseExpiredError):
            await queue.take(session)
        again = await asyncio.wait_for(asyncio.shield(take), PATIENCE)
        assert (again.id, again.attempt) == (job_id, 2)
        assert await again.done()


async def test_the_end_of_a_session_ends_a_wait_for_a_job(program: Program) -> None:
    session = await program.locks.session(12)
    take = asyncio.create_task(program.recipes.work_queue(b"w").take(session))
    await program.until_watchers(1)
    await program.server.etcdctl("lease", "revoke", f"{session.lease.id:016x}")
    with pytest.raises(LeaseExpiredError):
        await asyncio.wait_for(take, PATIENCE)
    await program.nothing_is_left()


async def test_a_deleted_claim_is_told_at_the_end(program: Program) -> None:
    queue = program.recipes.work_queue(b"w")
    await queue.put(b"job")
    async with program.locks.session(600) as session:
        job = await queue.take(session)
        assert job is not None
        with pytest.raises(ClaimLostError):
            async with job:
                await program.kv.delete_prefix(b"w/claims/")
        assert await queue.size() == 1


async def test_eight_workers_claim_eight_jobs_in_one_round_trip_each(program: Program) -> None:
    queue = program.recipes.work_queue(b"w")
    for number in range(8):
        await queue.put(b"%d" % number)
    async with program.locks.session(600) as session:
        before = await program.unary_calls()
        jobs = await asyncio.gather(*(queue.take(session) for _ in range(8)))
        assert len({job.id for job in jobs if job is not None}) == 8
        assert dict(await program.unary_calls() - before) == {"Range": 16, "Txn": 8}


async def test_a_cancelled_take_leaves_no_claim(program: Program) -> None:
    queue = program.recipes.work_queue(b"w")
    await queue.put(b"job")

    async def give_back(job: Job | None) -> None:
        assert job is not None
        await job.give_back()

    async def no_claim() -> None:
        assert not await program.kv.get_prefix(b"w/claims/")

    async with program.locks.session(600) as session:
        assert await cancel_everywhere(lambda: queue.take(session), no_claim, undo=give_back)


async def test_a_job_whose_block_is_cancelled_is_done_or_given_back(program: Program) -> None:
    queue, job_id = program.recipes.work_queue(b"w"), b""

    async def work() -> None:
        job = await queue.take(session)
        assert job is not None
        async with job:
            await asyncio.sleep(0)

    async def nothing_is_claimed() -> None:
        nonlocal job_id
        assert not await program.kv.get_prefix(b"w/claims/")
        if not await queue.size():
            job_id = await queue.put(b"job")
        assert await queue.dead() == {}
        # Another one gets it at once.
        job = await queue.take(session, timeout=0)
        assert job is not None
        assert (job.id, job.value) == (job_id, b"job")
        assert await job.give_back()

    async with program.locks.session(600) as session:
        await nothing_is_claimed()
        assert await cancel_everywhere(work, nothing_is_claimed, every=3)


async def test_a_worker_that_is_cancelled_anywhere_keeps_no_job(program: Program) -> None:
    queue = program.recipes.work_queue(b"w")

    async def handle(job: Job) -> None:
        await asyncio.sleep(0)

    async def no_lease() -> bool:
        return not await program.leases.leases()

    async def nothing_is_claimed() -> None:
        # A lease that was being granted is revoked in the background.
        await until(no_lease)
        assert not await program.kv.get_prefix(b"w/claims/")
        if not await queue.size():
            await queue.put(b"job")

    await nothing_is_claimed()
    for turns in range(60):
        task = asyncio.create_task(queue.work(handle, ttl=600, tasks=2))
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        await nothing_is_claimed()


async def test_handlers_work_until_they_are_cancelled(program: Program) -> None:
    # The other worker may claim the job that is given back, before it is cancelled too: each claim
    # is an attempt, and one is left then.
    queue = program.recipes.work_queue(b"w", attempts=3)
    handled: list[bytes] = []
    hanging = asyncio.Event()

    async def handle(job: Job) -> None:
        if job.value == b"fails":
            raise ZeroDivisionError
        if job.value == b"hangs":
            hanging.set()
            await asyncio.sleep(PATIENCE)
        handled.append(job.value)

    work = asyncio.create_task(queue.work(handle, ttl=60, tasks=2))
    bad = await queue.put(b"fails")
    for number in range(10):
        await queue.put(b"%d" % number)

    async def all_are_done() -> bool:
        return await queue.size() == 0

    await until(all_are_done)
    assert sorted(handled) == sorted(b"%d" % number for number in range(10))
    assert await queue.dead() == {bad: b"fails"}
    await queue.put(b"hangs")
    await asyncio.wait_for(hanging.wait(), PATIENCE)
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled()
    assert await queue.size() == 1
    await program.kv.delete_prefix(b"w/")
    await program.nothing_is_left()


async def test_work_ends_although_a_handler_suppresses_the_cancellation(
    program: Program,
) -> None:
    queue = program.recipes.work_queue(b"w")
    await queue.put(b"one")
    await queue.put(b"two")
    handled: list[bytes] = []
    began = asyncio.Event()

    async def handle(job: Job) -> None:
        handled.append(job.value)
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)

    work = asyncio.create_task(queue.work(handle, ttl=600))
    await asyncio.wait_for(began.wait(), PATIENCE)
    work.cancel()
    await asyncio.wait([work], timeout=PATIENCE)
    assert work.cancelled()
    assert handled == [b"one"]
    assert await queue.size() == 1
    await program.kv.delete_prefix(b"w/")
    await program.nothing_is_left()


async def test_a_handler_that_raises_a_cancellation_of_its_own_costs_no_worker(
    program: Program,
) -> None:
    queue = program.recipes.work_queue(b"w")
    await queue.put(b"one")
    await queue.put(b"two")
    began: set[bytes] = set()
    both, cancellations = asyncio.Event(), iter([asyncio.CancelledError()])

    async def handle(job: Job) -> None:
        for cancellation in cancellations:
            raise cancellation
        began.add(job.value)
        if len(began) == 2:
            both.set()
        await both.wait()

    work = asyncio.create_task(queue.work(handle, ttl=600, tasks=2))
    await asyncio.wait_for(both.wait(), PATIENCE)

    async def all_done() -> bool:
        return await queue.size() == 0

    await until(all_done)
    work.cancel()
    await asyncio.wait([work])
    await program.nothing_is_left()


async def test_handlers_go_on_after_a_lost_session(program: Program, other: Program) -> None:
    queue = program.recipes.work_queue(b"w")
    attempts: list[int] = []

    async def handle(job: Job) -> None:
        attempts.append(job.attempt)
        if job.attempt == 1:
            (lease,) = await other.leases.leases()
            await other.leases.revoke_lease(lease)
            await asyncio.sleep(PATIENCE)

    await queue.put(b"job")
    work = asyncio.create_task(queue.work(handle, ttl=12))

    async def done() -> bool:
        return await queue.size() == 0

    await until(done)
    work.cancel()
    await asyncio.wait([work])
    assert attempts == [1, 2]


async def test_no_job_is_lost_and_none_is_recorded_twice_while_connections_break(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    queue = program.recipes.work_queue(b"w")
    ids = [await queue.put(b"%d" % number) for number in range(60)]

    async def handle(job: Job) -> None:
        txn, key = faulty.kv.transactions, b"record/" + job.id
        await faulty.kv.transaction([job.ownership()], [txn.put(key, b"")])

    worker = faulty.recipes.work_queue(b"w")
    work = asyncio.create_task(worker.work(handle, ttl=10, tasks=4))

    async def done() -> bool:
        return await queue.size() == 0

    async with broken_connections(proxy, 0.1):
        while len(await program.kv.get_prefix(b"record/")) < 50:
            await asyncio.sleep(0.05)
            assert not work.done()
    await until(done)
    work.cancel()
    await asyncio.wait([work])
    records = await program.kv.get_prefix(b"record/")
    assert [record.key for record in records] == [b"record/" + job_id for job_id in sorted(ids)]


async def test_jobs_of_workers_that_are_killed_are_done_by_others(program: Program) -> None:
    queue = program.recipes.work_queue(b"w", attempts=4)
    values = [b"harmless"] * 10 + [b"kills once", b"kills always"] + [b"harmless"] * 10
    ids = [await queue.put(value) for value in values]
    script = Path(__file__).with_name("recipes_worker.py")

    async def keep_running() -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(script), program.server.endpoint, "w"
            )
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    supervisors = [asyncio.create_task(keep_running()) for _ in range(2)]

    async def done() -> bool:
        return await queue.size() == 0

    try:
        await until(done)
    finally:
        for supervisor in supervisors:
            supervisor.cancel()
        await asyncio.wait(supervisors)
    dead = ids[values.index(b"kills always")]
    assert await queue.dead() == {dead: b"kills always"}
    records = {kv.key: kv for kv in await program.kv.get_prefix(b"record/")}
    assert set(records) == {b"record/" + job_id for job_id in ids if job_id != dead}
    assert not await program.kv.get_prefix(b"w/attempts/")


async def test_a_worker_that_waits_survives_a_compaction(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    async with faulty.locks.session(600) as session:
        async with waiting(faulty.recipes.work_queue(b"w").take(session)) as take:
            await program.until_watchers(1)
            proxy.refuse()
            proxy.cut()
            await program.recipes.work_queue(b"w").put(b"job")
            written = await program.kv.put(b"other", b"")
            await program.kv.compact(written.header.revision)
            proxy.heal()
        assert take.result().value == b"job"


async def test_arguments_that_cannot_be_are_refused(program: Program) -> None:
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        WorkQueue(program.channel, b"w", attempts=0)
    with pytest.raises(TypeError, match="session must be a Session"):
        await WorkQueue(program.channel, b"w").take(program.channel)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="job_id must not be empty"):
        await WorkQueue(program.channel, b"w").revive(b"")
    with pytest.raises(TypeError, match="handler must be callable, not NoneType"):
        await WorkQueue(program.channel, b"w").work(None)  # type: ignore[arg-type]  # on purpose
