"""Recipes whose names begin with the name of another one and a slash."""

from __future__ import annotations

import asyncio

from recipes_support import PATIENCE, Program


async def test_a_latch_is_not_opened_by_the_parts_of_one_inside(program: Program) -> None:
    outer = program.recipes.count_down_latch(b"deploy", 2)
    inner = program.recipes.count_down_latch(b"deploy/eu", 5)
    await inner.count_down(b"disk")
    assert await outer.remaining() == 2
    assert not await outer.wait(timeout=0.5)
    await outer.count_down(b"disk")
    await outer.count_down(b"network")
    assert await outer.wait(timeout=PATIENCE)
    assert await inner.remaining() == 4


async def test_a_reset_of_a_latch_leaves_one_inside(program: Program) -> None:
    outer = program.recipes.count_down_latch(b"deploy", 2)
    inner = program.recipes.count_down_latch(b"deploy/eu", 5)
    await outer.count_down(b"disk")
    await inner.count_down(b"disk")
    await outer.reset()
    assert await program.keys() == [b"deploy/eu/count", b"deploy/eu/parts/disk"]
    assert await inner.remaining() == 4
    await inner.reset()
    await program.nothing_is_left()


async def test_a_queue_has_no_items_of_one_inside(program: Program, other: Program) -> None:
    outer, inner = program.recipes.queue(b"q"), program.recipes.queue(b"q/eu")
    urgent = program.recipes.priority_queue(b"q/urgent")
    await inner.put(b"of the inner one")
    await urgent.put(b"urgent", 3)
    assert await outer.size() == 0
    assert await outer.get(timeout=0) is None
    get = asyncio.create_task(other.recipes.queue(b"q").get(timeout=PATIENCE))
    await program.until_watchers(1)
    await inner.put(b"another")
    await outer.put(b"of the outer one")
    assert await get == b"of the outer one"
    assert [await inner.get(timeout=0) for _ in range(3)] == [b"of the inner one", b"another", None]
    assert await urgent.get(timeout=0) == b"urgent"
    await program.nothing_is_left()
