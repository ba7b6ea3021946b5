"""The loss of a lease, session, lock or mutex: the same rules for the body of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from lock_loss_support import (
    HANG,
    TTL,
    Blocks,
    Held,
    detect_revocation,
    every_kind,
    every_loss,
)
from lock_support import PATIENT, Program

from etcd_channel import Channel, ClientError
from etcd_lease import LeaseExpiredError
from etcd_lock import (
    Election,
    Lock,
    LockLostError,
    Mutex,
    NotLeaderOfElectionError,
    QueueEntry,
)
from etcd_testing import EtcdServer, FaultProxy


@every_loss
async def test_a_loss_is_raised_at_the_end_of_a_body_that_was_not_notified(
    block: Blocks, lines: Callable[[], list[str]], kind: str, how: str
) -> None:
    async def body() -> None:
        async with block(kind) as held:
            await held.lose(how)
            await held.until_noticed(how)

    with pytest.raises(ClientError) as raised:
        await body()
    block.held.check(raised.value, how)
    assert lines() == ["WARNING etcd_lease" if how == "revoke" else "WARNING etcd_lock"]


@every_loss
async def test_a_loss_is_raised_even_if_the_body_ends_before_the_client_detects_it(
    block: Blocks, lines: Callable[[], list[str]], kind: str, how: str
) -> None:
    with pytest.raises(ClientError) as raised:
        async with block(kind) as held:
            await held.lose(how)
    block.held.check(raised.value, how)
    assert lines() == ["WARNING etcd_lease" if how == "revoke" else "WARNING etcd_lock"]


@every_loss
@pytest.mark.parametrize("by_task", [False, True], ids=["itself", "in a task"])
async def test_a_loss_that_the_body_awaited_is_not_raised(
    block: Blocks, lines: Callable[[], list[str]], kind: str, how: str, by_task: bool
) -> None:
    async with block(kind) as held:
        held.lose_soon(how)
        lost = asyncio.ensure_future(held.lost()) if by_task else held.lost()
        held.check(await asyncio.wait_for(lost, HANG), how)
    assert lines() == ["WARNING etcd_lease" if how == "revoke" else "WARNING etcd_lock"]


@every_loss
async def test_an_error_of_the_body_is_raised_with_the_loss_in_its_context(
    block: Blocks, kind: str, how: str
) -> None:
    own = KeyError("of the body")

    async def body() -> None:
        async with block(kind) as held:
            await held.lose(how)
            await held.until_noticed(how)
            try:
                raise ValueError("what led to it")
            except ValueError:
                raise own  # noqa: B904  # its context is what the test is about

    with pytest.raises(KeyError) as raised:
        await body()
    assert raised.value is own
    assert isinstance(own.__context__, ValueError)
    loss = own.__context__.__context__
    assert loss is not None
    block.held.check(loss, how)


@every_loss
async def test_a_cancellation_by_anything_else_is_raised_unchanged(
    block: Blocks, kind: str, how: str
) -> None:
    noticed = asyncio.Event()
    caught: list[BaseException] = []

    async def work() -> None:
        try:
            async with block(kind) as held:
                await held.lose(how)
                await held.until_noticed(how)
                noticed.set()
                await asyncio.Event().wait()
        except BaseException as error:
            caught.append(error)
            raise

    task = asyncio.create_task(work())
    await asyncio.wait_for(noticed.wait(), HANG)
    task.cancel("the caller's")
    await asyncio.wait([task])
    assert task.cancelled()
    assert caught[0].args == ("the caller's",)


@every_kind
@pytest.mark.parametrize("cancel_on_loss", [False, True])
async def test_an_object_that_the_body_releases_itself_is_not_lost(
    block: Blocks, lines: Callable[[], list[str]], kind: str, cancel_on_loss: bool
) -> None:
    async with block(kind, cancel_on_loss=cancel_on_loss) as held:
        await held.give_back()
        # If this counted as a loss, the body would be cancelled here.
        for _ in range(20):
            await asyncio.sleep(0)
    assert lines() == []


@pytest.mark.parametrize("kind", ["lock", "mutex"])
@pytest.mark.parametrize("cancel_on_loss", [False, True])
async def test_a_body_that_revokes_the_lease_of_its_lock_has_not_lost_it(
    block: Blocks, lines: Callable[[], list[str]], kind: str, cancel_on_loss: bool
) -> None:
    async with block(kind, cancel_on_loss=cancel_on_loss) as held:
        await held.lease.revoke()
        for _ in range(20):
            await asyncio.sleep(0)
    assert lines() == []


# Several keys with one lease ------------------------------------------------------------


async def test_each_mutex_of_a_session_is_notified_separately(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    inside = [asyncio.Event(), asyncio.Event()]
    go_on = asyncio.Event()

    async with program.locks.session(TTL) as session:

        async def notified() -> str:
            async with Mutex(session, key_prefix + b"1") as mutex:
                inside[0].set()
                return str(await mutex.lost)

        async def not_notified() -> None:
            async with Mutex(session, key_prefix + b"2"):
                inside[1].set()
                await go_on.wait()

        tasks = [asyncio.create_task(notified()), asyncio.create_task(not_notified())]
        for event in inside:
            await asyncio.wait_for(event.wait(), HANG)
        await etcd_server.etcdctl("lease", "revoke", f"{session.lease.id:x}")
        await detect_revocation(program, session.lease)
        loss = await asyncio.wait_for(tasks[0], HANG)
        assert f"the mutex {key_prefix + b'1'!r} is lost" in str(loss)
        go_on.set()
        with pytest.raises(LockLostError, match="2' is lost"):
            await asyncio.wait_for(tasks[1], HANG)


async def test_a_mutex_does_not_raise_a_loss_of_its_session_that_the_body_awaited(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    async with program.locks.session(TTL) as session, Mutex(session, key_prefix):
        await etcd_server.etcdctl("lease", "revoke", f"{session.lease.id:x}")
        await detect_revocation(program, session.lease)
        assert isinstance(await asyncio.wait_for(session.lost, HANG), LeaseExpiredError)


async def test_a_session_whose_mutex_raised_its_loss_does_not_raise_it_again(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    async with program.locks.session(TTL) as session:
        with pytest.raises(LockLostError):
            async with Mutex(session, key_prefix):
                await etcd_server.etcdctl("lease", "revoke", f"{session.lease.id:x}")


@pytest.mark.parametrize("cancel_on_loss", [False, True])
async def test_closing_a_session_in_another_task_loses_its_mutexes(
    program: Program, key_prefix: bytes, cancel_on_loss: bool
) -> None:
    session = await program.locks.session(TTL)
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with Mutex(session, key_prefix, cancel_on_loss=cancel_on_loss):
            entered.set()
            await go_on.wait()

    task = asyncio.create_task(work())
    await asyncio.wait_for(entered.wait(), HANG)
    await session.close()
    if not cancel_on_loss:
        go_on.set()
    with pytest.raises(LockLostError, match="this client revoked it"):
        await asyncio.wait_for(task, HANG)


async def test_a_lock_does_not_raise_the_loss_of_its_lease_that_the_body_awaited(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    async with program.locks.lock(key_prefix, TTL, keep_alive=True) as lock:
        assert lock.lease is not None
        await etcd_server.etcdctl("lease", "revoke", f"{lock.lease.id:x}")
        await detect_revocation(program, lock.lease)
        assert isinstance(await asyncio.wait_for(lock.lease.lost, HANG), LeaseExpiredError)


async def test_a_lock_that_is_not_kept_alive_is_lost_when_its_lease_expires(
    program: Program, lines: Callable[[], list[str]], key_prefix: bytes
) -> None:
    with pytest.raises(LockLostError, match="no renewal was acknowledged"):
        async with program.locks.lock(key_prefix, 1, cancel_on_loss=True):
            await asyncio.wait_for(asyncio.Event().wait(), HANG)
    assert lines() == ["WARNING etcd_lock"]


async def test_the_loss_of_a_released_lock_has_the_release_as_its_reason(
    program: Program, lines: Callable[[], list[str]], key_prefix: bytes
) -> None:
    async with program.locks.lock(key_prefix, TTL) as lock:
        waiting = asyncio.ensure_future(lock.lost)
        await asyncio.sleep(0)
        assert await lock.release() is True
        assert "it was released" in str(await asyncio.wait_for(waiting, HANG))
        with pytest.raises(ValueError, match="not acquired"):
            _ = lock.lost
    assert lines() == []


async def test_a_lock_that_is_acquired_again_can_be_lost_again(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, TTL)
    async with lock:
        await program.kv.delete(key_prefix)
        assert isinstance(await asyncio.wait_for(lock.lost, HANG), LockLostError)
    with pytest.raises(LockLostError):
        async with lock:
            await program.kv.delete(key_prefix)


@pytest.mark.parametrize("kind", ["lock", "mutex"])
async def test_an_error_of_the_body_is_not_masked_by_a_release_that_fails(
    etcd_endpoint: str, key_prefix: bytes, kind: str
) -> None:
    channel = Channel(etcd_endpoint)
    program = Program(channel)
    session = await program.locks.session(TTL)
    held: Lock | Mutex = (
        program.locks.lock(key_prefix, TTL) if kind == "lock" else Mutex(session, key_prefix)
    )

    async def body() -> None:
        async with held:
            await channel.close()
            raise KeyError("of the body")

    with pytest.raises(KeyError, match="of the body"):
        await body()


# Without a block ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["revoke", "delete"])
@pytest.mark.parametrize("kind", ["election", "entry"])
async def test_lost_returns_for_a_leader_and_for_an_entry(
    program: Program,
    etcd_server: EtcdServer,
    lines: Callable[[], list[str]],
    key_prefix: bytes,
    kind: str,
    how: str,
) -> None:
    async with program.locks.session(TTL) as session:
        thing: Election | QueueEntry
        if kind == "election":
            thing = Election(session, key_prefix)
            with pytest.raises(ValueError, match="not held"):
                _ = thing.lost
            await thing.campaign(b"value")
            give_back = thing.resign
        else:
            thing = QueueEntry(session, key_prefix)
            with pytest.raises(ValueError, match="no entry"):
                _ = thing.lost
            await thing.acquire()
            give_back = thing.leave
        held = Held(
            etcd_server,
            program,
            session.lease,
            thing.key,
            lambda: thing.lost,
            give_back,
            LockLostError,
        )
        await held.lose(how)
        await held.detect(how)
        held.check(await asyncio.wait_for(asyncio.create_task(thing.lost), HANG), how)
        assert await give_back() is False
    assert lines() == ["WARNING etcd_lease" if how == "revoke" else "WARNING etcd_lock"]


async def test_proclaiming_after_a_loss_raises_the_reason(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(TTL) as session:
        election = Election(session, key_prefix)
        await election.campaign(b"value")
        await program.kv.delete(election.key)
        with pytest.raises(NotLeaderOfElectionError) as raised:
            await election.proclaim(b"another")
        assert isinstance(raised.value.__cause__, LockLostError)
        assert raised.value.__cause__.key == election.key
        assert election.fencing_token is None


async def test_the_deletion_of_a_key_is_detected_even_if_its_history_was_compacted(
    own_server: EtcdServer,
) -> None:
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        Channel(proxy.endpoint, **PATIENT) as channel,
        Channel(own_server.endpoint, **PATIENT) as elsewhere,
    ):
        program, other = Program(channel), Program(elsewhere)
        async with program.locks.lock(b"kept", 60) as kept, program.locks.lock(b"lost", 60) as lock:
            waiting = [asyncio.create_task(lock.lost), asyncio.create_task(kept.lost)]
            while (await own_server.metrics())["etcd_debugging_mvcc_watcher_total"] < 2:
                pass  # each iteration calls the server
            proxy.refuse()
            await other.kv.delete(b"lost")
            revision = (await other.kv.put(b"any", b"value")).header.revision
            await other.kv.compact(revision)
            proxy.heal()
            error = await asyncio.wait_for(waiting[0], HANG)
            assert "its key b'lost' was deleted" in str(error)
            assert not waiting[1].done()
            await other.kv.delete(b"kept")
            await asyncio.wait_for(waiting[1], HANG)
