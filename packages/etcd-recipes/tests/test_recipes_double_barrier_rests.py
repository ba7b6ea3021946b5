"""Double barriers: what a round leaves behind."""

from __future__ import annotations

import asyncio

from recipes_support import Program, until

from etcd_recipes import DoubleBarrier
from etcd_testing import cancel_everywhere


async def test_a_round_that_is_cancelled_anywhere_leaves_no_key(program: Program) -> None:
    async with program.locks.session(600) as session:

        async def alone() -> None:
            barrier = DoubleBarrier(session, b"d", 1)
            await barrier.enter()
            await barrier.leave()

        async def no_key() -> None:
            assert await program.keys() == []

        assert await cancel_everywhere(alone, no_key, every=3)


async def test_the_last_one_to_leave_ends_the_round_though_its_time_is_over(
    program: Program,
) -> None:
    async def no_key() -> bool:
        return await program.keys() == []

    async with program.locks.session(600) as session:
        for _ in range(20):
            barrier = DoubleBarrier(session, b"d", 1)
            assert await barrier.enter()
            await barrier.leave(timeout=1e-6)
            await until(no_key)


async def test_those_who_stay_are_not_hindered_by_one_that_is_cancelled(program: Program) -> None:
    async with program.locks.session(600) as first, program.locks.session(600) as second:
        one, two = DoubleBarrier(first, b"d", 2), DoubleBarrier(second, b"d", 2)
        assert all(await asyncio.gather(one.enter(), two.enter()))
        leaving = asyncio.create_task(one.leave())
        await program.until_watchers(1)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        assert b"d/ready" in await program.keys()
        assert await two.leave()
    await program.nothing_is_left()
