"""Barriers: many wait until one opens it."""

from __future__ import annotations

import asyncio

import pytest
from recipes_support import Program, waiting

from etcd_recipes import Barrier
from etcd_testing import FaultProxy, cancel_everywhere


async def test_those_who_wait_pass_when_it_is_released(program: Program, other: Program) -> None:
    barrier = program.recipes.barrier(b"gate")
    assert await barrier.hold()
    assert not await other.recipes.barrier(b"gate").hold()
    waits = asyncio.gather(*(other.recipes.barrier(b"gate").wait() for _ in range(5)))
    await program.until_watchers(5)
    assert not waits.done()
    assert await barrier.release()
    assert await waits == [True] * 5
    assert not await barrier.release()
    await program.nothing_is_left()


async def test_nobody_waits_at_an_open_barrier(program: Program) -> None:
    barrier = program.recipes.barrier(b"gate")
    assert not await barrier.is_held()
    assert await barrier.wait(timeout=0)
    assert await barrier.wait()
    assert await barrier.hold()
    assert await barrier.is_held()


async def test_a_wait_ends_with_its_time(program: Program) -> None:
    barrier = program.recipes.barrier(b"gate")
    await barrier.hold()
    assert not await barrier.wait(timeout=0)
    assert not await barrier.wait(timeout=0.05)
    await program.until_watchers(0)


async def test_it_opens_with_the_lease_of_its_holder(program: Program) -> None:
    barrier = program.recipes.barrier(b"gate")
    lease = await program.leases.lease(600)
    await barrier.hold(lease)
    async with waiting(barrier.wait()) as wait:
        await program.until_watchers(1)
        assert not wait.done()
        await lease.revoke()
    assert wait.result() is True
    await program.nothing_is_left()


async def test_those_who_wait_survive_broken_connections_and_a_compaction(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    barrier = program.recipes.barrier(b"gate")
    await barrier.hold()
    async with waiting(faulty.recipes.barrier(b"gate").wait()):
        await program.until_watchers(1)
        proxy.refuse()
        proxy.cut()
        await barrier.release()
        await barrier.hold()
        await barrier.release()
        written = await program.kv.put(b"other", b"")
        await program.kv.compact(written.header.revision)
        proxy.heal()


async def test_cancelling_a_wait_leaves_no_watch(program: Program) -> None:
    barrier = program.recipes.barrier(b"gate")
    await barrier.hold()

    async def no_watch() -> None:
        await program.until_watchers(0)

    assert await cancel_everywhere(lambda: barrier.wait(timeout=0.005), no_watch, every=9)


async def test_names_that_cannot_be_are_refused(program: Program) -> None:
    with pytest.raises(ValueError, match="name must not be empty"):
        Barrier(program.channel, b"")
    with pytest.raises(TypeError, match="client must be a Channel"):
        Barrier(b"gate", b"gate")  # type: ignore[arg-type]  # on purpose
