"""Multi-locks: several mutexes together, all or none, without deadlock."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from lock_contenders import cancelled_acquisitions_leave_nothing
from lock_judge import Judge, cut_connections, under_cancellations
from lock_support import PATIENT, Program, unary_calls, until_queued

from etcd_channel import Channel, ClientError
from etcd_kv import KVClient
from etcd_lock import LockLostError, LockTimeoutError, MultiLock, Mutex, QueueEntry
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere


def names(prefix: bytes, letters: str) -> list[bytes]:
    return [prefix + letter.encode() for letter in letters]


async def test_it_excludes_the_mutexes_of_each_of_its_names(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session, program.locks.session(60) as another:
        lock = MultiLock(session, names(key_prefix, "ba"))
        assert lock.names == tuple(names(key_prefix, "ab"))
        assert lock.fencing_token is None
        assert lock.keys == ()
        async with lock:
            assert await lock.is_acquired()
            for name in lock.names:
                for rival in (session, another):
                    assert await Mutex(rival, name).acquire(timeout=0) is False
            txn = program.kv.transactions
            put = txn.put(key_prefix + b"guarded", b"")
            assert (await program.kv.transaction(lock.ownership(), [put])).succeeded
            ownership = lock.ownership()
        assert not (await program.kv.transaction(ownership, [put])).succeeded
        async with Mutex(another, lock.names[1]):
            assert await lock.acquire(timeout=0) is False
            assert await MultiLock(another, lock.names, timeout=0.05).acquire() is False
            with pytest.raises(LockTimeoutError, match="the multi-lock"):
                async with MultiLock(session, lock.names, timeout=0):
                    raise AssertionError("the body ran")
            # Nothing of them is left in the queue of the free name.
            assert not await program.kv.get_prefix(lock.names[0] + b"/")
        with pytest.raises(ValueError, match="is not held"):
            lock.ownership()
        assert await lock.release() is False


async def test_its_token_is_above_those_of_all_earlier_holders_and_below_those_of_later_ones(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        tokens: list[int | None] = []
        for _ in range(2):
            for name in names(key_prefix, "ab"):
                async with Mutex(a, name) as mutex:
                    tokens.append(mutex.fencing_token)
            async with MultiLock(b, names(key_prefix, "ab")) as lock:
                tokens.append(lock.fencing_token)
                for key in lock.keys:
                    found = await program.kv.get(key)
                    assert found is not None
                    assert found.create_revision == lock.fencing_token
        assert tokens == sorted(tokens, key=lambda token: token or 0)
        assert len(set(tokens)) == len(tokens)


async def test_contenders_for_overlapping_names_are_served_in_the_order_of_their_calls(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    order: list[str] = []

    async with program.locks.session(60) as a, other.locks.session(60) as b:
        async with MultiLock(a, names(key_prefix, "abc")):
            tasks = []
            for number, letters in enumerate(("ab", "cb", "ca", "b")):

                async def work(number: int = number, letters: str = letters) -> None:
                    async with MultiLock((a, b)[number % 2], names(key_prefix, letters)):
                        order.append(letters)

                tasks.append(asyncio.create_task(work()))
                count = 3 + sum(len(each) for each in ("ab", "cb", "ca", "b")[: number + 1])
                await until_queued(program, key_prefix, count)
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert order[0] == "ab"
    assert order.index("cb") < order.index("ca")
    assert order.index("cb") < order.index("b")


async def test_names_that_cannot_be_locked_together_are_refused(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        for wrong, message in (
            ([], "1 to 64 names, not 0"),
            ([b"%d" % number for number in range(65)], "1 to 64 names, not 65"),
            ([b"a", b"a"], "given twice"),
            ([b"a/b", b"a"], "the beginning of"),
            ([b""], "must not be empty"),
        ):
            with pytest.raises(ValueError, match=message):
                MultiLock(session, wrong)
        with pytest.raises(TypeError, match="several names"):
            MultiLock(session, b"name")  # type: ignore[arg-type]  # on purpose
        async with MultiLock(session, [key_prefix + b"%d" % number for number in range(64)]):
            pass


async def test_a_free_multi_lock_takes_one_round_trip_and_its_release_one(
    alone: Program, own_server: EtcdServer
) -> None:
    async with alone.locks.session(600) as session:
        lock = MultiLock(session, names(b"", "abc"))
        before = await unary_calls(own_server)
        assert await lock.acquire()
        assert await lock.release()
        assert dict(await unary_calls(own_server) - before) == {"Txn": 2}
        assert not await alone.kv.get_all()


@pytest.mark.parametrize("which", [0, 1])
async def test_the_deletion_of_any_of_its_keys_is_the_loss_of_all(
    program: Program, key_prefix: bytes, which: int
) -> None:
    async with program.locks.session(60) as session:
        lock = MultiLock(session, names(key_prefix, "ab"), cancel_on_loss=True)

        async def body() -> None:
            async with lock:
                await program.kv.delete(lock.keys[which])
                await asyncio.wait_for(asyncio.Event().wait(), 30)

        with pytest.raises(LockLostError, match="was deleted") as raised:
            await body()
        assert raised.value.key is not None
        assert raised.value.key.startswith(lock.names[which] + b"/")
        # The other key was released at the end of the block.
        assert not await program.kv.get_prefix(key_prefix)
        assert await lock.acquire(timeout=0) is True
        await program.kv.delete(lock.keys[which])
        assert await lock.is_acquired() is False
        assert await lock.release() is False
        assert not await program.kv.get_prefix(key_prefix)


async def test_a_key_that_is_deleted_during_the_wait_for_another_is_an_error(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        for free, taken in (("a", "b"), ("b", "a")):
            lock = MultiLock(a, names(key_prefix, "ab"))
            async with Mutex(b, key_prefix + taken.encode()):
                waiting = asyncio.create_task(lock.acquire())
                await until_queued(program, key_prefix, 3)
                await program.kv.delete_prefix(key_prefix + free.encode() + b"/")
            with pytest.raises(LockLostError, match="was deleted"):
                await asyncio.wait_for(waiting, 30)
            assert not await program.kv.get_prefix(key_prefix)


async def test_a_session_that_ends_during_the_wait_is_an_error(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as b, Mutex(b, key_prefix + b"a"):
        session = await program.locks.session(60)
        waiting = asyncio.create_task(MultiLock(session, names(key_prefix, "ab")).acquire())
        await until_queued(program, key_prefix, 3)
        await session.close()
        with pytest.raises(LockLostError):
            await asyncio.wait_for(waiting, 30)
        with pytest.raises(LockLostError):
            await MultiLock(session, names(key_prefix, "ab")).acquire()


async def test_etcdctl_lock_waits_for_a_multi_lock_and_it_for_etcdctl(
    etcd_server: EtcdServer, program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        lock = MultiLock(session, names(key_prefix, "ab"))
        await lock.acquire()
        async with etcd_server.etcdctl_session("lock", lock.names[1].decode()) as etcdctl:
            await until_queued(program, key_prefix, 3)
            assert etcdctl.output() == ""
            await lock.release()
            assert (await etcdctl.line()).encode().startswith(lock.names[1] + b"/")
            assert await lock.acquire(timeout=0) is False
            waiting = asyncio.create_task(lock.acquire())
            await until_queued(program, key_prefix, 3)
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, 30) is True
        await lock.release()


async def test_many_contenders_for_several_names_exclude_each_other_and_none_waits_for_ever(
    own_server: EtcdServer,
) -> None:
    random_ = random.Random(7)
    judges = {name: Judge(name + b"/") for name in (b"a", b"b", b"c", b"d")}
    subsets = [list(each) for size in (1, 2, 3) for each in itertools.permutations(judges, size)]
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        Channel(proxy.endpoint, **PATIENT) as one,
        Channel(own_server.endpoint, **PATIENT) as two,
    ):
        programs = [Program(one), Program(two)]
        async with programs[0].locks.session(60) as a, programs[1].locks.session(60) as b:

            async def work(number: int) -> None:
                session, chosen = (a, b)[number % 2], random_.choice(subsets)
                while True:
                    lock = MultiLock(session, chosen)
                    try:
                        async with lock:
                            for name, key in zip(lock.names, lock.keys, strict=True):
                                async with judges[name].inside(
                                    session, lock.ownership(), b"holder", key
                                ) as counts:
                                    assert counts.get(b"holder", 0) <= 1
                                    await KVClient(session.channel).get(b"any")
                    except (ConnectionError, ClientError):
                        continue
                    return

            async with cut_connections(proxy):
                assert await under_cancellations(work, 40, 7) >= 26
            for name, judge in judges.items():
                assert judge.most == {b"holder": 1}
                while await QueueEntry(b, name + b"/").first() is not None:
                    pass  # each iteration calls the server


async def test_cancelling_an_acquisition_leaves_nothing(alone: Program) -> None:
    async with alone.locks.session(60) as a, alone.locks.session(60) as b:
        await cancelled_acquisitions_leave_nothing(
            alone, lambda: MultiLock(b, [b"a", b"b"]), Mutex(a, b"b")
        )
        lock = MultiLock(b, [b"a", b"b"])

        async def acquired_again() -> None:
            # A release that was cancelled before it began has released nothing.
            await lock.release()
            assert not await alone.kv.get_all()
            assert await lock.acquire()

        await lock.acquire()
        assert await cancel_everywhere(lock.release, acquired_again)
        await lock.release()
