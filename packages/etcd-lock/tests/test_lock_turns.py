"""Turns: one task at a time, in the order of asking, whoever gives up."""

from __future__ import annotations

import asyncio

import pytest

from etcd_channel import Channel
from etcd_lock._turns import Turn, Turns


async def test_a_turn_is_taken_in_the_order_of_asking() -> None:
    turn = Turn()
    order: list[int] = []

    async def work(number: int) -> None:
        assert await turn.take(None)
        order.append(number)
        await asyncio.sleep(0)
        turn.give()

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))
    assert await turn.take(0)


async def test_a_turn_that_does_not_come_in_time_is_not_taken() -> None:
    turn = Turn()
    assert await turn.take(None)
    assert await turn.take(0) is False
    assert await turn.take(0.01) is False
    turn.give()
    assert await turn.take(0)


@pytest.mark.parametrize("given_first", [False, True])
async def test_a_waiter_that_is_cancelled_holds_up_nobody(given_first: bool) -> None:
    turn = Turn()
    await turn.take(None)
    cancelled = asyncio.create_task(turn.take(None))
    waiting = asyncio.create_task(turn.take(None))
    await asyncio.sleep(0)
    if given_first:
        turn.give()
        cancelled.cancel()
    else:
        cancelled.cancel()
        turn.give()
    assert await asyncio.wait_for(waiting, 30) is True
    assert cancelled.cancelled() or (await asyncio.wait([cancelled]) and cancelled.cancelled())


def test_the_turn_at_a_key_is_the_same_for_all_who_hold_it() -> None:
    turns = Turns(Channel())
    turn = turns.at(b"key")
    assert turns.at(b"key") is turn
    assert turns.at(b"other") is not turn
