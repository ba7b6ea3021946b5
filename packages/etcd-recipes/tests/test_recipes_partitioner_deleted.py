"""Partitioners: parts whose keys were deleted by somebody else."""

from __future__ import annotations

import asyncio

from recipes_support import PATIENCE, Program, waiting

from etcd_recipes import Part


async def test_a_part_whose_key_was_deleted_is_claimed_again(program: Program) -> None:
    begun = asyncio.Queue[Part]()
    ended: list[Part] = []

    async def work(part: Part) -> None:
        begun.put_nowait(part)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(part)

    partitioner = program.recipes.partitioner(b"shards", [b"one", b"two"], ttl=60)
    task = asyncio.create_task(partitioner.run(work))
    try:
        parts = [await asyncio.wait_for(begun.get(), PATIENCE) for _ in range(2)]
        old = next(part for part in parts if part.name == b"two")
        for _ in range(3):
            await program.kv.delete(b"shards/parts/two")
            new = await asyncio.wait_for(begun.get(), PATIENCE)
            assert new.name == b"two"
            assert new.fencing_token > old.fencing_token
            assert ended[-1] is old
            assert (await program.kv.transaction([new.ownership()])).succeeded
            old = new
        assert partitioner.owned == {b"one", b"two"}
        assert len(ended) == 3
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])
    await program.nothing_is_left()


async def test_a_part_that_was_taken_is_claimed_when_it_is_free(program: Program) -> None:
    begun = asyncio.Queue[int]()
    ended, may_end = asyncio.Event(), asyncio.Event()

    async def work(part: Part) -> None:
        begun.put_nowait(part.fencing_token)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
            await may_end.wait()

    partitioner = program.recipes.partitioner(b"shards", [b"one"], ttl=60)
    task = asyncio.create_task(partitioner.run(work))
    try:
        token = await asyncio.wait_for(begun.get(), PATIENCE)
        await program.kv.delete(b"shards/parts/one")
        # The key cannot be claimed before the work has ended.
        async with waiting(ended.wait()):
            pass
        await program.kv.put(b"shards/parts/one", b"of somebody else")
        may_end.set()

        async def nobody_works() -> None:
            while partitioner.owned:
                await program.kv.get(b"any")

        await asyncio.wait_for(nobody_works(), PATIENCE)
        assert begun.empty()
        await program.kv.delete(b"shards/parts/one")
        assert await asyncio.wait_for(begun.get(), PATIENCE) > token
    finally:
        may_end.set()
        task.cancel()
        await asyncio.wait([task])
    await program.nothing_is_left()
