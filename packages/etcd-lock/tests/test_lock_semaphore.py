"""Semaphores: at most n hold a permit, in the order of their calls, and all agree on n."""

from __future__ import annotations

import asyncio
import random

import pytest
from lock_contenders import cancelled_acquisitions_leave_nothing, contenders
from lock_judge import Judge, cut_connections, under_cancellations
from lock_support import PATIENT, Program, unary_calls

from etcd_channel import Channel, ConnectionTimeoutError, PreconditionFailedError
from etcd_kv import KVClient
from etcd_lock import LockTimeoutError, Permit, Semaphore
from etcd_testing import EtcdServer, FaultProxy


async def test_permits_are_given_in_the_order_of_the_calls(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, other.locks.session(60) as b:
        semaphores = [Semaphore(session, key_prefix, 2) for session in (a, b)]
        async with contenders(
            program, key_prefix + b"/", lambda name: semaphores[int(name) % 2].permit()
        ) as tasks:
            await tasks.start(*"012345")
            await tasks.until_admitted(*"01")
            usage = await semaphores[0].usage()
            assert (usage.permits, usage.holders, usage.waiters) == (2, 2, 4)
            await tasks.leave("1")
            await tasks.until_admitted(*"012")
            await tasks.leave("0")
            await tasks.until_admitted(*"0123")
            await tasks.leave(*"2345")
            await tasks.until_admitted(*"012345")
            usage = await semaphores[1].usage()
            assert (usage.holders, usage.waiters) == (0, 0)


async def test_a_permit_that_is_not_free_is_refused_when_the_time_is_over(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        semaphore = Semaphore(session, key_prefix, 1, timeout=0)
        async with semaphore.permit() as held:
            assert held.fencing_token is not None
            assert await held.is_acquired()
            assert await semaphore.permit().acquire() is False
            assert await semaphore.permit(timeout=0.05).acquire() is False
            with pytest.raises(LockTimeoutError, match="a permit of the semaphore"):
                async with semaphore.permit():
                    raise AssertionError("the body ran")
            assert (await semaphore.usage()).waiters == 0
        assert await semaphore.permit().acquire() is True


async def test_users_who_disagree_on_the_number_of_permits_are_told(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        three, five = Semaphore(session, key_prefix, 3), Semaphore(session, key_prefix, 5)
        thirty = Semaphore(session, key_prefix, 30)
        async with three.permit():
            for wrong in (five, thirty):
                with pytest.raises(
                    PreconditionFailedError,
                    match=rf"in use with 3 permits, not {wrong.permits}",
                ):
                    await wrong.permit().acquire()
                with pytest.raises(PreconditionFailedError, match="in use with 3 permits"):
                    await wrong.usage()
            async with three.permit():
                assert (await three.usage()).holders == 2
        # Nobody uses it any more: another number may be chosen.
        async with thirty.permit():
            with pytest.raises(PreconditionFailedError, match="in use with 30 permits, not 3"):
                await three.permit().acquire()
        assert not await program.kv.get_prefix(key_prefix)


async def test_of_users_who_disagree_at_the_same_time_only_those_with_one_number_enter(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        permits = [Semaphore(session, key_prefix, 2 + number % 3).permit() for number in range(12)]
        outcomes = await asyncio.gather(
            *(permit.acquire(timeout=0) for permit in permits), return_exceptions=True
        )
        numbers = {
            2 + number % 3 for number, outcome in enumerate(outcomes) if isinstance(outcome, bool)
        }
        assert len(numbers) == 1
        assert outcomes.count(True) == numbers.pop()
        assert sum(isinstance(outcome, PreconditionFailedError) for outcome in outcomes) == 8


async def test_names_and_numbers_that_cannot_be_are_refused(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        with pytest.raises(ValueError, match="permits must be at least 1"):
            Semaphore(session, key_prefix, 0)
        with pytest.raises(ValueError, match="name must not be empty"):
            Semaphore(session, b"", 1)
        with pytest.raises(TypeError, match="session must be a Session"):
            Semaphore(program.channel, key_prefix, 1)  # type: ignore[arg-type]  # on purpose


async def test_a_permit_that_two_tasks_share_is_held_by_one_at_a_time(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        permit = Semaphore(session, key_prefix, 5).permit()
        assert await permit.acquire()
        assert await permit.acquire(timeout=0.05) is False
        waiting = asyncio.create_task(permit.acquire())
        assert await permit.release()
        assert await asyncio.wait_for(waiting, 30)
        assert await permit.release()


async def test_a_free_permit_takes_one_round_trip_and_its_release_one(
    alone: Program, own_server: EtcdServer
) -> None:
    async with alone.locks.session(600) as session:
        semaphore = Semaphore(session, b"semaphore", 2)
        async with semaphore.permit():
            permit = semaphore.permit()
            before = await unary_calls(own_server)
            assert await permit.acquire()
            assert await permit.release()
            after = await unary_calls(own_server)
            assert dict(after - before) == {"Txn": 2}


async def test_never_more_than_three_are_inside_as_the_server_counts(
    own_server: EtcdServer,
) -> None:
    judge, random_ = Judge(b"semaphore/"), random.Random(5)
    async with (
        Channel(own_server.endpoint, **PATIENT) as one,
        Channel(own_server.endpoint, **PATIENT) as two,
    ):
        programs = [Program(one), Program(two)]
        async with (
            programs[0].locks.session(60) as a,
            programs[1].locks.session(60) as b,
        ):
            lost = await programs[0].locks.session(60)
            semaphores = [Semaphore(session, b"semaphore", 3) for session in (a, b, lost)]

            async def work(number: int) -> None:
                semaphore = semaphores[number % 3]
                async with semaphore.permit() as permit:
                    async with judge.inside(
                        semaphore.session, [permit.ownership()], b"holder", permit.key
                    ) as counts:
                        assert counts.get(b"holder", 0) <= 3
                        for _ in range(random_.randrange(4)):
                            await KVClient(semaphore.session.channel).get(b"any")
                    if number == 20:
                        # The session's other permits, held or waited for, end with it.
                        await own_server.etcdctl("lease", "revoke", f"{lost.lease.id:x}")

            # The tasks of one session are neither cancelled nor lose it.
            assert await under_cancellations(work, 60, 5) >= 20
            assert 1 < judge.most[b"holder"] <= 3
            assert judge.entered >= 20
            assert not await programs[0].kv.get_all()


async def test_never_more_than_two_are_inside_while_connections_break(
    own_server: EtcdServer,
) -> None:
    judge = Judge(b"semaphore/")
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        Channel(proxy.endpoint, **PATIENT) as faulty,
        Channel(own_server.endpoint, **PATIENT) as direct,
    ):
        programs = [Program(faulty), Program(direct)]
        async with programs[0].locks.session(60) as a, programs[1].locks.session(60) as b:
            semaphores = [Semaphore(session, b"semaphore", 2) for session in (a, b)]

            async def work(number: int) -> None:
                semaphore = semaphores[number % 2]
                while True:
                    permit: Permit = semaphore.permit()
                    try:
                        async with permit:
                            async with judge.inside(
                                semaphore.session, [permit.ownership()], b"holder", permit.key
                            ) as counts:
                                assert counts.get(b"holder", 0) <= 2
                            return
                    except (ConnectionError, ConnectionTimeoutError):  # the connection is cut
                        continue

            async with cut_connections(proxy):
                tasks = [asyncio.create_task(work(number)) for number in range(24)]
                await asyncio.wait_for(asyncio.gather(*tasks), 90)
            assert judge.most[b"holder"] <= 2
            # What could not be deleted is deleted in the background.
            while await programs[1].kv.get_prefix(b"semaphore/"):
                pass  # each iteration calls the server


async def test_cancelling_the_acquisition_of_a_permit_leaves_nothing(alone: Program) -> None:
    async with alone.locks.session(60) as session:
        semaphore = Semaphore(session, b"semaphore", 1)
        await cancelled_acquisitions_leave_nothing(alone, semaphore.permit, semaphore.permit())
