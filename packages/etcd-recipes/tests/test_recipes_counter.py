"""Counters: a number that many programs change."""

from __future__ import annotations

import asyncio

import pytest
from recipes_support import PATIENCE, Program, broken_connections

from etcd_channel import ClientError, PreconditionFailedError
from etcd_recipes import CounterTimeoutError
from etcd_testing import FaultProxy, cancel_everywhere


async def test_no_addition_of_several_programs_is_lost(program: Program, other: Program) -> None:
    counters = [program.recipes.counter(b"n"), other.recipes.counter(b"n")]
    sums = await asyncio.gather(*(counters[number % 2].add() for number in range(200)))
    assert sorted(sums) == list(range(1, 201))
    assert await counters[0].get() == 200


async def test_it_adds_and_subtracts_and_sets(program: Program) -> None:
    counter = program.recipes.counter(b"n")
    assert await counter.get() == 0
    assert await counter.add(-5) == -5
    assert await counter.add(7) == 2
    await counter.set(40)
    assert await counter.add() == 41
    found = await program.kv.get(b"n")
    assert found is not None
    assert found.value == b"41"


async def test_a_number_is_replaced_only_if_it_is_as_expected(program: Program) -> None:
    counter = program.recipes.counter(b"n")
    assert not await counter.compare_and_set(1, 2)
    assert await counter.compare_and_set(0, 5)
    assert not await counter.compare_and_set(0, 6)
    assert await counter.compare_and_set(5, 0)
    assert await counter.compare_and_set(0, -1)
    assert await counter.get() == -1


async def test_a_change_takes_one_round_trip_while_nobody_else_writes(program: Program) -> None:
    await program.recipes.counter(b"n").set(5)
    counter = program.recipes.counter(b"n")
    before = await program.unary_calls()
    await counter.add()
    assert dict(await program.unary_calls() - before) == {"Txn": 2}
    before = await program.unary_calls()
    for _ in range(10):
        await counter.add()
    await counter.compare_and_set(16, 20)
    await counter.compare_and_set(0, 20)
    await counter.add()
    assert dict(await program.unary_calls() - before) == {"Txn": 13}
    assert await counter.get() == 21


async def test_what_does_not_fit_is_refused_and_changes_nothing(
    program: Program, other: Program
) -> None:
    counter, most = program.recipes.counter(b"n"), 2**63 - 1
    await counter.set(most)
    with pytest.raises(OverflowError, match="64 bits"):
        await counter.add()
    assert await counter.get() == most
    # What another program has set meanwhile counts.
    await other.recipes.counter(b"n").set(0)
    assert await counter.add() == 1
    with pytest.raises(ValueError, match="amount must be at most"):
        await counter.add(most + 1)


async def test_a_key_that_is_no_number_is_refused_without_showing_it(program: Program) -> None:
    await program.kv.put(b"n", b"secret")
    counter = program.recipes.counter(b"n")
    for call in (counter.get, counter.add):
        with pytest.raises(PreconditionFailedError, match="not a whole number") as caught:
            await call()
        assert "secret" not in str(caught.value)
    with pytest.raises(PreconditionFailedError):
        await counter.compare_and_set(1, 2)
    await counter.set(1)
    assert await counter.get() == 1


async def test_additions_that_are_acknowledged_are_counted_while_connections_break(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    counter, sums, in_doubt = faulty.recipes.counter(b"n"), [], 0

    async def add() -> None:
        nonlocal in_doubt
        for _ in range(20):
            try:
                sums.append(await counter.add())
            except ClientError as error:  # noqa: PERF203  # of every attempt
                in_doubt += not error.definite

    async with broken_connections(proxy, 0.02):
        await asyncio.gather(*(add() for _ in range(8)))
    assert len(set(sums)) == len(sums)
    assert len(sums) <= await program.recipes.counter(b"n").get() <= len(sums) + in_doubt


async def test_tasks_that_wait_for_each_other_do_so_no_longer_than_their_time(
    faulty: Program, proxy: FaultProxy
) -> None:
    counter = faulty.recipes.counter(b"n")
    await counter.add()
    proxy.black_hole()
    first = asyncio.create_task(counter.add(timeout=30))
    await asyncio.sleep(0)
    with pytest.raises(CounterTimeoutError, match="nothing was added"):
        await counter.add(timeout=0.05)
    second = asyncio.create_task(counter.add())
    await asyncio.sleep(0)
    for task in (second, first):
        task.cancel()
        await asyncio.wait([task])
    proxy.heal()
    assert await counter.add() in (2, 3)


async def test_a_cancelled_addition_is_applied_once_or_not_at_all_and_delays_no_other(
    program: Program,
) -> None:
    counter, before = program.recipes.counter(b"n"), 0
    others: list[asyncio.Task[int]] = []

    async def add() -> int:
        # It waits for another addition first, so it is cancelled in this wait too.
        others.append(asyncio.create_task(counter.add()))
        await asyncio.sleep(0)
        return await counter.add()

    async def one_or_two_were_added() -> None:
        nonlocal before
        while others:
            await asyncio.wait_for(others.pop(), PATIENCE)
        after = await asyncio.wait_for(counter.add(), PATIENCE)
        assert before + 2 <= after <= before + 3
        before = after

    assert await cancel_everywhere(add, one_or_two_were_added)
    assert await program.keys() == [b"n"]
