"""The documented lock: its holders and waiters, and that they leave no key and no lease."""

from __future__ import annotations

import asyncio

import pytest
from lock_support import PATIENT, Program

from etcd_channel import Channel
from etcd_lease import LeaseExpiredError
from etcd_lock import Lock, LockLostError, LockTimeoutError
from etcd_testing import EtcdServer


async def test_a_lock_is_stored_under_its_key_with_a_lease_of_its_ttl(
    program: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, ttl=30)
    assert await lock.acquire() is True
    found = await program.kv.get(key_prefix)
    assert found is not None
    assert lock.lease is not None
    assert (found.value, found.lease) == (lock.uuid, lock.lease.id)
    assert await lock.lease.granted_ttl() == 30
    await lock.release()


async def test_a_lock_excludes_another_until_it_is_released(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    first, second = program.locks.lock(key_prefix), other.locks.lock(key_prefix)
    assert await first.acquire()
    assert await second.acquire(timeout=0) is False
    waiting = asyncio.create_task(second.acquire(timeout=30))
    assert await first.release() is True
    assert await waiting is True
    assert await second.is_acquired()
    assert not await first.is_acquired()
    assert second.fencing_token is not None
    await second.release()


async def test_each_holder_has_a_higher_token_than_the_one_before(
    program: Program, key_prefix: bytes
) -> None:
    tokens = []
    for _ in range(3):
        async with program.locks.lock(key_prefix) as lock:
            tokens.append(lock.fencing_token)
    assert tokens == sorted(set(tokens), key=lambda token: token or 0)


async def test_a_lock_ends_with_its_lease_and_the_waiter_gets_it(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    first = program.locks.lock(key_prefix, ttl=1)
    await first.acquire()
    second = other.locks.lock(key_prefix)
    assert await second.acquire(timeout=30) is True
    assert await first.is_acquired() is False
    with pytest.raises(LeaseExpiredError):
        await first.refresh()
    await second.release()


async def test_refresh_restarts_the_ttl(program: Program, key_prefix: bytes) -> None:
    async with program.locks.lock(key_prefix, ttl=30) as lock:
        assert (await lock.refresh()).ttl == 30


async def test_refresh_of_a_lock_that_was_never_acquired_is_an_error(
    program: Program, key_prefix: bytes
) -> None:
    with pytest.raises(ValueError, match="not acquired"):
        await program.locks.lock(key_prefix).refresh()
    with pytest.raises(ValueError, match="not acquired"):
        program.locks.lock(key_prefix).ownership()


async def test_a_second_acquire_waits_and_does_not_change_the_held_lock(
    program: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix)
    assert await lock.acquire()
    token = lock.fencing_token
    assert await lock.acquire(timeout=0.1) is False
    assert await lock.is_acquired()
    assert lock.fencing_token == token
    assert await lock.release() is True


async def test_release_does_not_affect_a_lock_that_another_client_holds_by_now(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    first, second = program.locks.lock(key_prefix), other.locks.lock(key_prefix)
    await first.acquire()
    await program.kv.delete(key_prefix)
    await second.acquire()
    assert await first.release() is False
    assert await second.is_acquired()
    await second.release()


async def test_release_of_a_lock_that_is_not_held_does_nothing(
    program: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix)
    assert await lock.release() is False
    await lock.acquire()
    assert [await lock.release(), await lock.release()] == [True, False]


async def test_a_body_never_runs_without_its_lock(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.lock(key_prefix):
        with pytest.raises(LockTimeoutError):
            async with other.locks.lock(key_prefix, timeout=0.1):
                pytest.fail("the body ran")


async def test_a_lost_lock_is_raised_at_the_end_of_the_body(
    program: Program, key_prefix: bytes
) -> None:
    with pytest.raises(LockLostError):
        async with program.locks.lock(key_prefix):
            await program.kv.delete(key_prefix)


async def test_an_error_of_the_body_is_not_masked_by_the_loss(
    program: Program, key_prefix: bytes
) -> None:
    async def body() -> None:
        async with program.locks.lock(key_prefix) as lock:
            assert lock.lease is not None
            await program.leases.revoke_lease(lock.lease)
            raise KeyError("of the body")

    with pytest.raises(KeyError):
        await body()


async def test_a_lock_that_is_kept_alive_is_renewed_before_its_ttl_ends(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.lock(key_prefix, ttl=12, keep_alive=True) as lock:
        assert lock.lease is not None
        lease_id, least = lock.lease.id, 12
        # The server's remaining time falls until the lock is renewed, after a third of its ttl.
        while (left := (await other.leases.get_lease_info(lease_id)).ttl) <= least:
            least = left
            await asyncio.sleep(0.1)
        assert least < 12
        assert await other.locks.lock(key_prefix).acquire(timeout=0) is False
        assert await lock.is_acquired()


async def test_cancel_on_loss_cancels_the_body_when_its_lease_is_lost(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    cancelled = False

    async def body() -> None:
        nonlocal cancelled
        async with program.locks.lock(
            key_prefix, ttl=60, keep_alive=True, cancel_on_loss=True
        ) as lock:
            assert lock.lease is not None
            await other.leases.revoke_lease(lock.lease.id)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise

    with pytest.raises(LockLostError):
        await body()
    assert cancelled


async def test_a_cancellation_by_anything_else_does_not_count_as_a_loss(
    program: Program, key_prefix: bytes
) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with program.locks.lock(key_prefix, keep_alive=True, cancel_on_loss=True):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await program.kv.get(key_prefix) is None


async def test_ownership_guards_a_transaction(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    txn = program.kv.transactions
    write = [txn.put(key_prefix + b"/data", b"mine")]
    lock = program.locks.lock(key_prefix)
    await lock.acquire()
    assert (await program.kv.transaction([lock.ownership()], write)).succeeded
    late = lock.ownership()
    await program.kv.delete(key_prefix)
    async with other.locks.lock(key_prefix):
        assert not (await program.kv.transaction([late], write)).succeeded
    await lock.release()


async def test_fifty_contenders_exclude_each_other_and_leave_no_lease(
    own_server: EtcdServer,
) -> None:
    inside = served = 0

    async def contend(program: Program) -> None:
        nonlocal inside, served
        async with program.locks.lock(b"lock", timeout=None):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1
            served += 1

    async with (
        Channel(own_server.endpoint, **PATIENT) as one,
        Channel(own_server.endpoint, **PATIENT) as two,
    ):
        programs = [Program(one), Program(two)]
        await asyncio.gather(*(contend(programs[n % 2]) for n in range(50)))
        assert served == 50
        assert await programs[0].leases.leases() == []
        assert await programs[0].kv.get(b"lock") is None


async def test_a_timed_out_acquire_leaves_no_lease_and_no_watcher(own_server: EtcdServer) -> None:
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        holder = program.locks.lock(b"lock")
        await holder.acquire()
        assert await program.locks.lock(b"lock").acquire(timeout=0.2) is False
        assert len(await program.leases.leases()) == 1
        await holder.release()
        assert await program.leases.leases() == []
    while (await own_server.metrics())["etcd_debugging_mvcc_watcher_total"]:
        pass  # each iteration calls the server


async def test_a_cancelled_acquire_leaves_no_key_and_no_lease_wherever_it_is_cancelled(
    own_server: EtcdServer,
) -> None:
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        held = 0
        for turns in range(60):
            lock = program.locks.lock(b"lock", keep_alive=turns % 2 == 0)
            task = asyncio.create_task(lock.acquire())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                held += 1
                assert await lock.release() is True
            else:
                assert not await lock.is_acquired()
        # A grant that was still in flight is revoked when it is answered.
        await _until_no_lease(program)
        assert await program.kv.get(b"lock") is None


async def test_no_cancellation_is_lost_when_the_lock_is_released_at_the_same_time(
    own_server: EtcdServer,
) -> None:
    # Before Python 3.12 `asyncio.wait_for` loses a cancellation that arrives with the result.
    async with (
        Channel(own_server.endpoint, **PATIENT) as first,
        Channel(own_server.endpoint, **PATIENT) as second,
    ):
        holder, waiter = Program(first), Program(second)
        for turns in range(60):
            held = holder.locks.lock(b"lock")
            await held.acquire()
            task = asyncio.create_task(waiter.locks.lock(b"lock").acquire(timeout=60))
            while not (await own_server.metrics())["etcd_debugging_mvcc_watcher_total"]:
                pass  # each iteration calls the server
            deletion = asyncio.create_task(holder.kv.delete(b"lock"))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked = task.cancel()
            await asyncio.wait([task, deletion])
            assert task.cancelled() is asked
            await waiter.kv.delete(b"lock")
            await held.release()


async def _until_no_lease(program: Program) -> None:
    async def wait() -> None:
        while await program.leases.leases():
            pass  # each iteration calls the server

    await asyncio.wait_for(wait(), 60)


async def test_a_cancelled_waiter_leaves_nothing(own_server: EtcdServer) -> None:
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        program = Program(channel)
        holder = program.locks.lock(b"lock")
        await holder.acquire()
        task = asyncio.create_task(program.locks.lock(b"lock").acquire(timeout=None))
        while not (await own_server.metrics())["etcd_debugging_mvcc_watcher_total"]:
            pass  # each iteration calls the server
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await program.leases.leases()) == 1
        await holder.release()


async def test_a_lock_is_acquired_over_a_restart_of_the_server(own_server: EtcdServer) -> None:
    async with Channel(own_server.endpoint, connect_timeout=20) as channel:
        program = Program(channel)
        holder = program.locks.lock(b"lock", ttl=60)
        await holder.acquire()
        waiting = asyncio.create_task(program.locks.lock(b"lock").acquire(timeout=None))
        while not (await own_server.metrics())["etcd_debugging_mvcc_watcher_total"]:
            pass  # each iteration calls the server
        # Old ones lose writes that they acknowledged just before.
        await (own_server.kill() if own_server.keeps_writes_when_killed else own_server.stop())
        await own_server.restart()
        await holder.release()
        assert await asyncio.wait_for(waiting, 60) is True


async def test_the_documented_constructor_takes_a_client_a_key_and_a_ttl(
    program: Program, key_prefix: bytes
) -> None:
    lock = Lock(program.kv, key_prefix, 20)
    assert (lock.key, lock.ttl, lock.lease) == (key_prefix, 20, None)
    async with lock:
        assert repr(lock).startswith("Lock(key=")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"key": "text"}, TypeError, "key must be bytes, not str"),
        ({"key": b""}, ValueError, "key must not be empty"),
        ({"key": 1}, TypeError, "key must be bytes"),
        ({"key": b"k", "ttl": 1 << 63}, ValueError, "ttl must be at most"),
        ({"key": b"k", "ttl": 1.5}, TypeError, "ttl must be an int"),
        ({"key": b"k", "keep_alive": "yes"}, TypeError, "keep_alive must be a bool"),
        ({"key": b"k", "timeout": float("inf")}, ValueError, "timeout must be"),
        ({"key": b"k", "timeout": "1"}, TypeError, "timeout must be"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, object], kind: type[Exception], words: str
) -> None:
    from etcd_lock import LockClient

    locks = LockClient(Channel("127.0.0.1:1"))
    with pytest.raises(kind, match=words):
        locks.lock(**arguments)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), "1", False])
async def test_a_wrong_timeout_of_acquire_is_named(
    program: Program, key_prefix: bytes, timeout: float
) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        await program.locks.lock(key_prefix).acquire(timeout)


def test_a_lock_without_a_client_is_refused() -> None:
    with pytest.raises(TypeError, match="client must be"):
        Lock("localhost", b"key", 60)  # type: ignore[arg-type]  # on purpose
