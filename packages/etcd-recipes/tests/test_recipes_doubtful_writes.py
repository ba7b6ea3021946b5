"""Recipes whose writes fail, or are overtaken by another program, at a certain point.

A view of the channel calls a function before each write, which may raise the error of a request
that never arrived, or let another program act first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from recipes_support import PATIENCE, Program, until

from etcd_channel import ChannelLike, ChannelView, ConnectionFailedError, Rpc
from etcd_lock import Session
from etcd_recipes import DoubleBarrier, WorkQueue

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class BeforeWrites(ChannelView):
    """Awaits `act` before each transaction and deletion."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.act: Callable[[], Awaitable[object]] | None = None

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        async def call() -> ResponseT:
            if self.act is not None and rpc.name.endswith(("Txn", "DeleteRange")):
                await self.act()
            return await self.inner.call(rpc, request, timeout=timeout, endpoint=endpoint)

        return call()


async def test_a_job_that_cannot_be_given_up_is_not_kept(program: Program) -> None:
    queue = WorkQueue(program.channel, b"w", attempts=1)
    job_id = await queue.put(b"job")
    async with program.locks.session(600) as dies:
        assert await queue.take(dies) is not None
    view, calls = BeforeWrites(program.channel), 0

    async def fail_after_the_claim() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ConnectionFailedError("lost on the way")

    async with Session(view, 600) as session:
        view.act = fail_after_the_claim
        with pytest.raises(ConnectionFailedError):
            await WorkQueue(view, b"w", attempts=1).take(session)
        view.act = None
        claim = b"w/claims/" + job_id

        async def is_free() -> bool:
            return claim not in await program.keys()

        await until(is_free)
    async with program.locks.session(600) as session:
        assert await queue.take(session, timeout=0) is None
    assert await queue.dead() == {job_id: b"job"}


async def test_a_job_is_not_done_when_its_claim_was_lost_before_the_repetition(
    program: Program,
) -> None:
    view, calls = BeforeWrites(program.channel), 0
    queue = WorkQueue(view, b"w")
    job_id = await queue.put(b"job")

    async def lose_the_claim() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await program.kv.delete(b"w/claims/" + job_id)
            raise ConnectionFailedError("lost on the way")

    async with Session(view, 600) as session:
        job = await queue.take(session)
        assert job is not None
        view.act = lose_the_claim
        assert not await job.done()
        again = await queue.take(session)
        assert again is not None
        assert await again.done()


async def test_one_who_gives_up_is_not_counted_or_enters(program: Program) -> None:
    view, calls = BeforeWrites(program.channel), 0
    entered: list[bool] = []

    async def begin_another_round() -> None:
        """End the round before after the one who gives up has looked at it."""
        nonlocal calls
        calls += 1
        # It puts its key, looks, and puts or deletes its key.
        if calls == 3:
            assert not await one.leave(timeout=0)
            assert await two.leave(timeout=PATIENCE)
            entered.append(await four.enter(timeout=0))

    async with (
        program.locks.session(600) as first,
        program.locks.session(600) as second,
        program.locks.session(600) as later,
        Session(view, 600) as session,
    ):
        one, two = DoubleBarrier(first, b"d", 2), DoubleBarrier(second, b"d", 2)
        assert all(await asyncio.gather(one.enter(), two.enter()))
        three, four = DoubleBarrier(session, b"d", 2), DoubleBarrier(later, b"d", 2)
        view.act = begin_another_round
        assert [await three.enter(timeout=0.5)] == entered == [True]
        await asyncio.gather(three.leave(), four.leave())
    await program.nothing_is_left()
