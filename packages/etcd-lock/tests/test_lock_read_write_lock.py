"""Read-write locks: many readers or one writer, in the order of their calls."""

from __future__ import annotations

import asyncio
import random

import pytest
from lock_contenders import cancelled_acquisitions_leave_nothing, contenders
from lock_judge import Judge, cut_connections, under_cancellations
from lock_support import PATIENT, Program, unary_calls

from etcd_channel import Channel, ConnectionTimeoutError
from etcd_kv import KVClient
from etcd_lock import LockTimeoutError, ReadLock, ReadWriteLock, WriteLock
from etcd_testing import EtcdServer, FaultProxy


def made(table: ReadWriteLock, kind: str) -> ReadLock | WriteLock:
    return table.read_lock() if kind.startswith("R") else table.write_lock()


async def test_readers_share_and_no_reader_overtakes_a_writer_that_waits(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    """R1 R2 | W1 | R3 R4 | W2, of two sessions."""
    names = ("R1", "R2", "W1", "R3", "R4", "W2")
    async with program.locks.session(60) as a, other.locks.session(60) as b:
        tables = [ReadWriteLock(session, key_prefix) for session in (a, b)]
        async with contenders(
            program, key_prefix + b"/", lambda name: made(tables[names.index(name) % 2], name)
        ) as tasks:
            await tasks.start(*names)
            await tasks.until_admitted("R1", "R2")
            await tasks.leave("R2")
            await tasks.until_admitted("R1", "R2")
            await tasks.leave("R1")
            await tasks.until_admitted("R1", "R2", "W1")
            await tasks.leave("W1")
            await tasks.until_admitted("R1", "R2", "W1", "R3", "R4")
            await tasks.leave("R3")
            await tasks.until_admitted("R1", "R2", "W1", "R3", "R4")
            await tasks.leave("R4")
            await tasks.until_admitted(*names)
            await tasks.leave("W2")


async def test_readers_are_admitted_when_the_writer_before_them_gives_up(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        table = ReadWriteLock(session, key_prefix)
        async with contenders(program, key_prefix + b"/", lambda name: made(table, name)) as tasks:
            await tasks.start("R1", "W1", "R2", "R3", "R4")
            await tasks.until_admitted("R1")
            tasks.tasks["W1"].cancel()
            await tasks.until_admitted("R1", "R2", "R3", "R4")
            await asyncio.wait([tasks.tasks["W1"]])
            assert tasks.tasks["W1"].cancelled()


async def test_a_lock_that_is_not_free_is_refused_when_the_time_is_over(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        table = ReadWriteLock(session, key_prefix, timeout=0)
        async with table.read_lock() as reader, table.read_lock() as second:
            assert reader.fencing_token != second.fencing_token
            assert await reader.is_acquired()
            assert await table.write_lock().acquire() is False
            with pytest.raises(LockTimeoutError, match="the write lock"):
                async with table.write_lock(timeout=0.05):
                    raise AssertionError("the body ran")
            # The writer that gave up does not hold up readers.
            async with table.read_lock():
                pass
        async with table.write_lock() as writer:
            assert (writer.fencing_token or 0) > (second.fencing_token or 0)
            assert await table.read_lock().acquire() is False
            assert await table.write_lock(timeout=0.05).acquire() is False
        assert not await program.kv.get_prefix(key_prefix)


async def test_the_keys_are_where_gos_recipe_looks_for_them(
    program: Program, key_prefix: bytes
) -> None:
    """Its readers wait for every key under `write`, its writers for every key under the name."""
    async with program.locks.session(60) as session:
        table = ReadWriteLock(session, key_prefix, timeout=0)
        async with table.read_lock() as reader:
            assert reader.key.startswith(key_prefix + b"/read/")
        async with table.write_lock() as writer:
            assert writer.key.startswith(key_prefix + b"/write/")
        await program.kv.put(key_prefix + b"/write/1700000000000000000", b"")
        assert await table.read_lock().acquire() is False
        await program.kv.delete_prefix(key_prefix)
        await program.kv.put(key_prefix + b"/read/1700000000000000000", b"")
        assert await table.write_lock().acquire() is False
        async with table.read_lock():
            pass


async def test_a_free_lock_takes_one_round_trip_and_its_release_one(
    alone: Program, own_server: EtcdServer
) -> None:
    async with alone.locks.session(600) as session:
        table = ReadWriteLock(session, b"table")
        for lock in (table.read_lock(), table.write_lock()):
            before = await unary_calls(own_server)
            assert await lock.acquire()
            assert await lock.release()
            assert dict(await unary_calls(own_server) - before) == {"Txn": 2}


async def test_no_writer_is_beside_others_as_the_server_counts(own_server: EtcdServer) -> None:
    judge, random_ = Judge(b"table/"), random.Random(6)
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        Channel(proxy.endpoint, **PATIENT) as one,
        Channel(own_server.endpoint, **PATIENT) as two,
    ):
        programs = [Program(one), Program(two)]
        async with programs[0].locks.session(60) as a, programs[1].locks.session(60) as b:
            lost = await programs[1].locks.session(60)
            tables = [ReadWriteLock(session, b"table") for session in (a, b, lost)]

            async def work(number: int) -> None:
                table, kind = tables[number % 3], "W" if number % 5 == 0 else "R"
                while True:
                    try:
                        async with made(table, kind) as lock:
                            async with judge.inside(
                                table.session, [lock.ownership()], kind.encode(), lock.key
                            ) as counts:
                                check(counts)
                                for _ in range(random_.randrange(4)):
                                    await KVClient(table.session.channel).get(b"any")
                            if number == 20:
                                lease = f"{lost.lease.id:x}"
                                await own_server.etcdctl("lease", "revoke", lease)
                        return
                    except (ConnectionError, ConnectionTimeoutError):  # noqa: PERF203  # the connection is cut
                        continue

            def check(counts: dict[bytes, int]) -> None:
                writers, readers = counts.get(b"W", 0), counts.get(b"R", 0)
                assert writers == 0 or (writers, readers) == (1, 0)

            async with cut_connections(proxy):
                # The tasks of one session are neither cancelled nor lose it.
                assert await under_cancellations(work, 60, 6) >= 20
            assert judge.most[b"W"] == 1
            assert judge.most[b"R"] > 1
            while await programs[1].kv.get_prefix(b"table/"):
                pass  # each iteration calls the server


@pytest.mark.parametrize("kind", ["R", "W"])
async def test_cancelling_a_reader_or_a_writer_leaves_nothing(alone: Program, kind: str) -> None:
    async with alone.locks.session(60) as session:
        table = ReadWriteLock(session, b"table")
        await cancelled_acquisitions_leave_nothing(
            alone, lambda: made(table, kind), table.write_lock()
        )
