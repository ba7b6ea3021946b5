"""Latches: many wait until a number of parts are done."""

from __future__ import annotations

import asyncio

import pytest
from recipes_support import Program, broken_connections, waiting

from etcd_channel import ClientError, PreconditionFailedError
from etcd_recipes import CountDownLatch
from etcd_testing import FaultProxy, cancel_everywhere


async def test_those_who_wait_pass_when_all_parts_are_counted(
    program: Program, other: Program
) -> None:
    latch = program.recipes.count_down_latch(b"start", 3)
    assert await latch.remaining() == 3
    waits = asyncio.gather(*(other.recipes.count_down_latch(b"start", 3).wait() for _ in range(4)))
    await program.until_watchers(4)
    for left in (2, 1):
        await latch.count_down()
        assert await latch.remaining() == left
        assert not waits.done()
    await latch.count_down()
    assert await waits == [True] * 4
    assert await latch.wait(timeout=0)
    assert await latch.wait()
    await latch.count_down()
    assert await latch.remaining() == 0
    await latch.reset()
    await program.nothing_is_left()


async def test_a_part_with_a_name_counts_once(program: Program) -> None:
    latch = program.recipes.count_down_latch(b"start", 2)
    await latch.count_down(b"disk")
    await latch.count_down(b"disk")
    assert await latch.remaining() == 1
    assert not await latch.wait(timeout=0)
    assert not await latch.wait(timeout=0.05)
    await latch.count_down(b"network")
    assert await latch.wait(timeout=0)


async def test_a_part_takes_one_round_trip(program: Program) -> None:
    latch = program.recipes.count_down_latch(b"start", 2)
    before = await program.unary_calls()
    await latch.count_down()
    await latch.count_down()
    assert dict(await program.unary_calls() - before) == {"Txn": 2}


async def test_users_who_disagree_on_the_number_are_told(program: Program) -> None:
    await program.recipes.count_down_latch(b"start", 3).count_down()
    other = program.recipes.count_down_latch(b"start", 2)
    for call in (other.count_down, other.wait):
        with pytest.raises(PreconditionFailedError, match="holds another number than 2"):
            await call()
    assert await other.remaining() == 1
    await other.reset()
    await other.count_down()
    assert await other.remaining() == 1


async def test_it_opens_once_while_connections_break(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    latch = faulty.recipes.count_down_latch(b"start", 40)

    async def count(part: int) -> None:
        while True:
            try:
                return await latch.count_down(b"%d" % part)
            except ClientError:  # noqa: PERF203  # of every attempt
                continue  # it may have been counted: count the same part again

    async with waiting(latch.wait()) as wait:
        await program.until_watchers(1)
        async with broken_connections(proxy):
            for part in range(39):
                await count(part)
            assert await program.recipes.count_down_latch(b"start", 40).remaining() == 1
            assert not wait.done()
            await count(39)


async def test_cancelling_a_wait_leaves_no_watch(program: Program) -> None:
    latch = program.recipes.count_down_latch(b"start", 2)

    async def no_watch() -> None:
        await program.until_watchers(0)

    assert await cancel_everywhere(lambda: latch.wait(timeout=0.005), no_watch, every=9)


async def test_numbers_that_cannot_be_are_refused(program: Program) -> None:
    with pytest.raises(ValueError, match="count must be at least 1"):
        CountDownLatch(program.channel, b"start", 0)
    with pytest.raises(ValueError, match="part must not be empty"):
        await program.recipes.count_down_latch(b"start", 2).count_down(b"")
