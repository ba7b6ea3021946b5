"""Tasks that share one lock object: each block is left with the hold that it entered with."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, nullcontext

import pytest
from lock_support import Program, until_queued

from etcd_lock import (
    Lock,
    LockLostError,
    MultiLock,
    Mutex,
    Permit,
    ReadLock,
    ReadWriteLock,
    Semaphore,
    Session,
    WriteLock,
)
from etcd_lock._hold import surrounding_blocks

HANG = 60

Shared = Lock | Mutex | ReadLock | WriteLock | Permit | MultiLock
KINDS = ["lock", "mutex", "read lock", "write lock", "permit", "multi-lock"]


@pytest.fixture
async def session(program: Program) -> AsyncIterator[Session]:
    async with program.locks.session(60) as session:
        yield session


def make(kind: str, program: Program, session: Session, name: bytes) -> Shared:
    if kind == "lock":
        return program.locks.lock(name, 60, timeout=None)
    if kind == "multi-lock":
        return MultiLock(session, [name + b"a", name + b"b"])
    if kind == "permit":
        return Semaphore(session, name, 1).permit()
    if kind == "mutex":
        return Mutex(session, name)
    both = ReadWriteLock(session, name)
    return both.read_lock() if kind == "read lock" else both.write_lock()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_whose_body_has_released_leaves_the_next_holder_alone(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    entered, end = asyncio.Event(), asyncio.Event()

    async def next_holder() -> None:
        async with lock:
            entered.set()
            await end.wait()
            assert await lock.is_acquired()

    async with lock:
        assert await lock.release() is True
        following = asyncio.create_task(next_holder())
        await asyncio.wait_for(entered.wait(), HANG)
    assert await lock.is_acquired()
    end.set()
    await asyncio.wait_for(following, HANG)
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_whose_body_has_released_raises_no_loss_while_another_task_waits(
    program: Program, other: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    async with other.locks.session(60) as theirs:
        first = make(kind, other, theirs, key_prefix)
        if kind == "read lock":
            first = make("write lock", other, theirs, key_prefix)

        async def next_holder() -> None:
            async with lock:
                pass

        async with lock:
            assert await lock.release() is True
            assert await first.acquire()
            keys = (await other.kv.get_prefix(key_prefix, count_only=True)).count
            following = asyncio.create_task(next_holder())
            await until_queued(other, key_prefix, keys + 1)
        assert await first.release() is True
        await asyncio.wait_for(following, HANG)


async def test_a_block_whose_lock_was_lost_raises_it_and_leaves_the_next_holder_alone(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60)
    entered, end = asyncio.Event(), asyncio.Event()

    async def next_holder() -> None:
        async with lock:
            entered.set()
            await end.wait()
            assert await lock.is_acquired()

    lease, following = 0, asyncio.create_task(asyncio.sleep(0))

    async def first_holder() -> None:
        nonlocal following, lease
        async with lock:
            assert lock.lease is not None
            lease = lock.lease.id
            await other.kv.delete(key_prefix)
            following = asyncio.create_task(next_holder())
            await asyncio.wait_for(entered.wait(), HANG)

    with pytest.raises(LockLostError) as raised:
        await first_holder()
    assert raised.value.lease_id == lease
    # The lease of the lost hold is not kept.
    assert lease not in await program.leases.leases()
    assert await lock.is_acquired()
    end.set()
    await asyncio.wait_for(following, HANG)
    assert not await program.kv.get_prefix(key_prefix)


async def test_a_body_is_cancelled_for_its_own_hold_only(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60)
    lock.cancel_on_loss = True
    entered, end = asyncio.Event(), asyncio.Event()

    async def next_holder() -> None:
        async with lock:
            entered.set()
            await end.wait()

    async def first_holder() -> None:
        async with lock:
            await other.kv.delete(key_prefix)
            try:
                await asyncio.wait_for(asyncio.Event().wait(), HANG)
            finally:
                following.append(asyncio.create_task(next_holder()))
                await asyncio.wait_for(entered.wait(), HANG)

    following: list[asyncio.Task[None]] = []
    with pytest.raises(LockLostError):
        await first_holder()
    assert await lock.is_acquired()
    end.set()
    await asyncio.wait_for(following[0], HANG)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_may_be_left_by_another_task(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    stack = AsyncExitStack()
    await asyncio.create_task(stack.enter_async_context(lock))
    await stack.aclose()
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stack_releases_what_a_call_has_acquired(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    async with AsyncExitStack() as stack:
        assert await lock.acquire()
        stack.push_async_exit(lock)
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_whose_body_releases_and_acquires_again_releases_at_its_end(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    async with lock:
        assert await lock.release() is True
        assert await lock.acquire()
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wait", ["wait_for", "gather", "task of a task"])
async def test_a_task_of_the_body_may_acquire_again_for_the_block(
    program: Program, session: Session, key_prefix: bytes, kind: str, wait: str
) -> None:
    lock = make(kind, program, session, key_prefix)

    async def helper() -> None:
        assert await asyncio.create_task(lock.acquire())

    async with lock:
        assert await lock.release() is True
        if wait == "wait_for":
            assert await asyncio.wait_for(lock.acquire(), HANG)
        elif wait == "gather":
            assert all(await asyncio.gather(lock.acquire()))
        else:
            await asyncio.create_task(helper())
    assert lock.fencing_token is None
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_leaves_what_a_task_from_outside_has_acquired_by_a_call(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    released = asyncio.Event()

    async def from_outside() -> None:
        await released.wait()
        assert await asyncio.wait_for(lock.acquire(), HANG)

    outside = asyncio.create_task(from_outside())
    async with lock:
        assert await lock.release() is True
        released.set()
        await asyncio.wait_for(outside, HANG)
    assert await lock.is_acquired()
    assert await lock.release() is True


@pytest.mark.parametrize("cancel_on_loss", [False, True])
async def test_a_block_releases_what_its_body_has_acquired_after_a_loss(
    program: Program, other: Program, key_prefix: bytes, cancel_on_loss: bool
) -> None:
    lock = program.locks.lock(key_prefix, 60, cancel_on_loss=cancel_on_loss)
    with pytest.raises(LockLostError) if cancel_on_loss else nullcontext():
        async with lock:
            await other.kv.delete(key_prefix)
            try:
                await lock.lost
            finally:
                assert await lock.acquire()
    assert lock.fencing_token is None
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", KINDS)
async def test_blocks_that_are_left_by_another_task_leave_nothing_for_the_next_ones(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    for released in (True, False, True, False):
        stack = AsyncExitStack()

        async def enter(stack: AsyncExitStack, released: bool) -> None:
            await stack.enter_async_context(lock)
            if released:
                assert await lock.release() is True

        await asyncio.create_task(enter(stack, released))
        await stack.aclose()
        assert not await program.kv.get_prefix(key_prefix)


async def test_of_two_blocks_that_are_left_by_another_task_each_has_its_own_loss(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60)
    first, second = AsyncExitStack(), AsyncExitStack()
    await asyncio.create_task(first.enter_async_context(lock))
    await other.kv.delete(key_prefix)
    await asyncio.create_task(second.enter_async_context(lock))
    await second.aclose()
    assert not await program.kv.get_prefix(key_prefix)
    with pytest.raises(LockLostError):
        await first.aclose()


async def test_a_body_that_enters_a_block_again_after_its_loss_gets_the_loss(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60)
    lock.cancel_on_loss = True

    async def enter_again() -> None:
        async with lock:
            await other.kv.delete(key_prefix)
            try:
                await asyncio.wait_for(asyncio.Event().wait(), HANG)
            finally:
                async with lock:
                    pass

    with pytest.raises(LockLostError):
        await enter_again()
    assert not await program.kv.get_prefix(key_prefix)


@pytest.mark.parametrize("kind", ["lock", "mutex"])
async def test_a_block_that_is_left_by_a_child_leaves_what_another_body_has_acquired_again(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    released, entered, again, left = (asyncio.Event() for _ in range(4))

    async def body() -> None:
        async with lock:
            await lock.release()
            released.set()
            await entered.wait()
            assert await lock.acquire()
            again.set()
            await left.wait()
            assert await lock.is_acquired()

    async def stack_in_a_child() -> None:
        await released.wait()
        stack = AsyncExitStack()
        await stack.enter_async_context(lock)
        await lock.release()
        entered.set()
        await again.wait()
        await asyncio.create_task(stack.aclose())
        left.set()

    await asyncio.wait_for(asyncio.gather(body(), stack_in_a_child()), HANG)
    assert not await program.kv.get_prefix(key_prefix)


async def test_a_block_that_is_left_by_a_child_gets_its_own_loss(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60, timeout=None)
    stack, entered, left = AsyncExitStack(), asyncio.Event(), asyncio.Event()

    async def next_holder() -> None:
        async with lock:
            entered.set()
            await left.wait()
            assert await lock.is_acquired()

    following: asyncio.Task[None] | None = None
    try:
        await stack.enter_async_context(lock)
        await other.kv.delete(key_prefix)
        following = contextvars.Context().run(asyncio.create_task, next_holder())
        await asyncio.wait_for(entered.wait(), HANG)
        with pytest.raises(LockLostError):
            await asyncio.create_task(stack.aclose())
    finally:
        left.set()
    await asyncio.wait_for(following, HANG)


@pytest.mark.parametrize("kind", ["lock", "mutex"])
async def test_a_block_leaves_what_a_block_within_it_has_acquired_again(
    program: Program, session: Session, key_prefix: bytes, kind: str
) -> None:
    lock = make(kind, program, session, key_prefix)
    again, left = asyncio.Event(), asyncio.Event()

    async def child() -> None:
        async with lock:
            await lock.release()
            assert await lock.acquire()
            again.set()
            await left.wait()
            assert await lock.is_acquired()

    async with lock:
        await lock.release()
        task = asyncio.create_task(child())
        await asyncio.wait_for(again.wait(), HANG)
    left.set()
    await asyncio.wait_for(task, HANG)
    assert not await program.kv.get_prefix(key_prefix)


async def test_the_second_loss_in_a_body_is_raised_though_it_was_told_of_the_first(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    lock = program.locks.lock(key_prefix, 60)

    async def body() -> None:
        async with lock:
            await other.kv.delete(key_prefix)
            await lock.lost
            assert await lock.acquire()
            await other.kv.delete(key_prefix)

    with pytest.raises(LockLostError):
        await body()


async def test_blocks_that_were_left_elsewhere_leave_nothing_in_a_context(
    session: Session, key_prefix: bytes
) -> None:
    mutex = Mutex(session, key_prefix)
    for _ in range(5):
        stack = AsyncExitStack()
        await stack.enter_async_context(mutex)
        await asyncio.create_task(stack.aclose())
    async with mutex:
        assert len(surrounding_blocks.get()) == 1
