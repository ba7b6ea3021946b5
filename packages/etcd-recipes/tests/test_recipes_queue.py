"""Queues whose items are taken at most once."""

from __future__ import annotations

import asyncio

import pytest
from recipes_support import Program, broken_connections, until, waiting

from etcd_channel import ClientError
from etcd_recipes import PriorityQueue, Queue
from etcd_testing import FaultProxy, cancel_everywhere


async def test_items_are_taken_in_the_order_in_which_they_were_put(
    program: Program, other: Program
) -> None:
    queue = program.recipes.queue(b"q")
    for number in range(20):
        await queue.put(b"%d" % number)
    assert await queue.size() == 20
    taker = other.recipes.queue(b"q")
    assert [await taker.get() for _ in range(20)] == [b"%d" % number for number in range(20)]
    assert await queue.size() == 0
    assert await taker.get(timeout=0) is None
    await program.nothing_is_left()


async def test_the_lowest_priority_is_taken_first(program: Program) -> None:
    queue = program.recipes.priority_queue(b"q")
    for value, priority in ((b"c", 700), (b"a", 5), (b"d", 65535), (b"b", 5)):
        await queue.put(value, priority)
    assert [await queue.get(timeout=0) for _ in range(5)] == [b"a", b"b", b"c", b"d", None]


async def test_those_who_wait_get_one_item_each(program: Program, other: Program) -> None:
    taker = other.recipes.queue(b"q")
    gets = asyncio.gather(*(taker.get(timeout=60) for _ in range(10)))
    await program.until_watchers(10)
    queue = program.recipes.queue(b"q")
    for number in range(11):
        await queue.put(b"%d" % number)
    assert len(set(await gets)) == 10
    assert await queue.size() == 1
    await program.until_watchers(0)


async def test_a_wait_ends_with_its_time(program: Program) -> None:
    assert await program.recipes.queue(b"q").get(timeout=0.05) is None
    await program.nothing_is_left()


async def test_sixteen_consumers_take_each_item_once(program: Program, other: Program) -> None:
    queues = [program.recipes.queue(b"q"), other.recipes.queue(b"q")]
    for number in range(200):
        await queues[number % 2].put(b"%d" % number)

    async def drain(queue: Queue) -> list[bytes]:
        taken = []
        while (value := await queue.get(timeout=0)) is not None:
            taken.append(value)
        return taken

    taken = await asyncio.gather(*(drain(queues[number % 2]) for number in range(16)))
    together = [value for each in taken for value in each]
    assert sorted(together) == sorted(b"%d" % number for number in range(200))


async def test_eight_consumers_take_an_item_each_in_two_round_trips(program: Program) -> None:
    queue = program.recipes.queue(b"q")
    for number in range(8):
        await queue.put(b"%d" % number)
    before = await program.unary_calls()
    taken = await asyncio.gather(*(queue.get() for _ in range(8)))
    assert len(set(taken)) == 8
    assert dict(await program.unary_calls() - before) == {"Range": 8, "Txn": 8}


async def test_a_cancelled_get_puts_the_item_back_into_its_place(program: Program) -> None:
    queue = program.recipes.queue(b"q")
    await queue.put(b"first")
    await queue.put(b"second")

    async def both_are_there() -> None:
        assert [found.value for found in await program.kv.get_all()] == [b"first", b"second"]

    async def put_back(value: bytes | None) -> None:
        assert value == b"first"
        key = min(keys)
        await program.kv.put(key, value)

    keys = await program.keys()
    assert await cancel_everywhere(queue.get, both_are_there, undo=put_back)


async def test_a_cancelled_wait_loses_no_item(program: Program, other: Program) -> None:
    taker, queue, got = other.recipes.queue(b"q"), program.recipes.queue(b"q"), []
    for number in range(60):
        task = asyncio.create_task(taker.get())
        await program.until_watchers(1)
        put = asyncio.create_task(queue.put(b"%d" % number))
        for _ in range(number):
            await asyncio.sleep(0.0002)
        task.cancel()
        await asyncio.wait([task, put])
        put.result()
        if not task.cancelled():
            got.append(task.result())
        await program.until_watchers(0)
        while (value := await queue.get(timeout=0)) is not None:
            got.append(value)
        assert got.count(b"%d" % number) == 1


async def test_a_wait_that_is_cancelled_as_it_takes_an_item_puts_it_back(
    program: Program, other: Program
) -> None:
    taker, queue = other.recipes.queue(b"q"), program.recipes.queue(b"q")

    async def it_is_there() -> None:
        assert await queue.get(timeout=0) == b"item"

    async def taken(value: bytes | None) -> None:
        assert value == b"item"
        await queue.put(value)

    for turns in range(40):
        task = asyncio.create_task(taker.get())
        await program.until_watchers(1)
        await queue.put(b"item")
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await taken(task.result())
        await it_is_there()
        await program.until_watchers(0)


async def test_no_item_is_taken_twice_while_connections_break(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    put: list[bytes] = []
    got: list[bytes] = []
    doubtful = 0

    async def produce() -> None:
        queue = program.recipes.queue(b"q")
        for number in range(300):
            await queue.put(b"%d" % number)
            put.append(b"%d" % number)

    async def consume() -> None:
        nonlocal doubtful
        queue = faulty.recipes.queue(b"q")
        while True:
            try:
                value = await queue.get()
            except ClientError as error:  # noqa: PERF203  # of every attempt
                doubtful += not error.definite
            else:
                assert value is not None
                got.append(value)

    consumers = [asyncio.create_task(consume()) for _ in range(4)]
    async with broken_connections(proxy, 0.05), waiting(produce()):
        pass

    async def empty() -> bool:
        return not await program.recipes.queue(b"q").size()

    await until(empty)
    for task in consumers:
        task.cancel()
    await asyncio.wait(consumers)
    # One that was taken at the last moment is put back when its consumer is cancelled.
    while (value := await program.recipes.queue(b"q").get(timeout=0)) is not None:
        got.append(value)
    assert len(set(got)) == len(got)
    assert len(put) - len(got) <= doubtful


async def test_a_waiting_consumer_survives_a_compaction(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    async with waiting(faulty.recipes.queue(b"q").get()) as get:
        await program.until_watchers(1)
        proxy.refuse()
        proxy.cut()
        await program.recipes.queue(b"q").put(b"item")
        written = await program.kv.put(b"other", b"")
        await program.kv.compact(written.header.revision)
        proxy.heal()
    assert get.result() == b"item"


async def test_the_keys_are_those_of_etcds_go_recipes(program: Program) -> None:
    await program.recipes.queue(b"q").put(b"item")
    await program.recipes.priority_queue(b"p").put(b"item", 7)
    priority, plain = await program.keys()
    assert plain.startswith(b"q/1")
    assert len(plain) == len(b"q/") + 19
    assert priority.startswith(b"p/00007/1")
    # As Go's PriorityQueue names them.
    await program.kv.put(b"p/00003/0000000000000000", b"of Go")
    assert await program.recipes.priority_queue(b"p").get() == b"of Go"


async def test_arguments_that_cannot_be_are_refused(program: Program) -> None:
    with pytest.raises(ValueError, match="name must not be empty"):
        Queue(program.channel, b"")
    with pytest.raises(TypeError, match="value must be bytes"):
        await Queue(program.channel, b"q").put("item")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="priority must be at most 65535"):
        await PriorityQueue(program.channel, b"q").put(b"item", 65536)
