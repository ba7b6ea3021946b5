"""A call whose time ends while it takes an item or a job: what was taken is not lost."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from recipes_support import PATIENCE, Program

from etcd_channel import ChannelView, ConnectionFailedError
from etcd_lock import Session
from etcd_recipes import RecipeClient

SECONDS = 3.0
"""The time of a call. It must be enough to start a watch and to receive an event of it."""


class Held(ChannelView):
    """Holds the answer to a transaction back until `go_on` is set, or fails in its place.

    With `late` it is the request that is held back, so that others are faster.
    """

    def __init__(
        self, program: Program, error: Exception | None = None, *, late: bool = False
    ) -> None:
        super().__init__(program.channel)
        self.taking = asyncio.Event()
        self.go_on = asyncio.Event()
        self._error = error
        self._late = late

    async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
        if rpc.name != "KV.Txn":
            return await super().call(rpc, request, **options)
        self.taking.set()
        if self._late:
            await self.go_on.wait()
        answer = await super().call(rpc, request, **options)
        await self.go_on.wait()
        if self._error is not None:
            raise self._error
        return answer


async def until_the_time_is_over(view: Held, call: asyncio.Task[Any]) -> None:
    await asyncio.wait_for(view.taking.wait(), PATIENCE)
    # `asyncio.wait` cancels nothing. The call waits for the answer as long as there is none.
    await asyncio.wait([call], timeout=SECONDS + 0.5)
    assert not call.done()
    view.go_on.set()


async def test_an_item_that_is_being_taken_is_returned(program: Program, other: Program) -> None:
    view, queue = Held(other), program.recipes.queue(b"q")
    get = asyncio.create_task(RecipeClient(view).queue(b"q").get(timeout=SECONDS))
    await program.until_watchers(1)
    await queue.put(b"item")
    await until_the_time_is_over(view, get)
    assert await get == b"item"
    await program.until_watchers(0)
    assert await queue.size() == 0


async def test_a_get_that_fails_says_so_after_its_time(program: Program, other: Program) -> None:
    lost = ConnectionFailedError("lost", code=grpc.StatusCode.UNAVAILABLE, definite=False)
    view, queue = Held(other, lost), program.recipes.queue(b"q")
    get = asyncio.create_task(RecipeClient(view).queue(b"q").get(timeout=SECONDS))
    await program.until_watchers(1)
    await queue.put(b"item")
    await until_the_time_is_over(view, get)
    with pytest.raises(ConnectionFailedError, match="lost"):
        await get
    await program.until_watchers(0)


async def test_a_job_that_is_being_claimed_is_returned(program: Program, other: Program) -> None:
    view, jobs = Held(other), program.recipes.work_queue(b"w")
    async with Session(other.channel, 60) as session:
        take = asyncio.create_task(
            RecipeClient(view).work_queue(b"w").take(session, timeout=SECONDS)
        )
        await program.until_watchers(1)
        await jobs.put(b"job")
        await until_the_time_is_over(view, take)
        job = await take
        assert job is not None
        assert (job.value, job.attempt) == (b"job", 1)
        assert await job.done()
    await program.nothing_is_left()


async def test_a_get_ends_after_its_time_if_another_was_faster(
    program: Program, other: Program
) -> None:
    view, queue = Held(other, late=True), program.recipes.queue(b"q")
    get = asyncio.create_task(RecipeClient(view).queue(b"q").get(timeout=SECONDS))
    await program.until_watchers(1)
    await queue.put(b"item")
    await asyncio.wait_for(view.taking.wait(), PATIENCE)
    assert await queue.get(timeout=0) == b"item"
    await until_the_time_is_over(view, get)
    assert await asyncio.wait_for(get, PATIENCE) is None
    await program.until_watchers(0)


async def test_a_take_ends_after_its_time_if_another_was_faster(
    program: Program, other: Program
) -> None:
    view, jobs = Held(other, late=True), program.recipes.work_queue(b"w")
    async with Session(other.channel, 60) as session, Session(program.channel, 60) as faster:
        take = asyncio.create_task(
            RecipeClient(view).work_queue(b"w").take(session, timeout=SECONDS)
        )
        await program.until_watchers(1)
        await jobs.put(b"job")
        await asyncio.wait_for(view.taking.wait(), PATIENCE)
        job = await jobs.take(faster, timeout=0)
        assert job is not None
        await until_the_time_is_over(view, take)
        assert await asyncio.wait_for(take, PATIENCE) is None
        assert await job.done()
    await program.nothing_is_left()


async def test_a_task_that_a_call_has_started_is_cancelled_as_any_other(
    program: Program, other: Program
) -> None:
    """It inherits the context of a call whose time is over, and nothing of its limit."""
    view, inner, queue = Held(other), Held(other), program.recipes.queue(b"q")
    begin = asyncio.Event()

    async def program_task() -> bytes | None:
        await begin.wait()
        return await RecipeClient(inner).queue(b"other").get()

    started: list[asyncio.Task[bytes | None]] = []

    class Starting(ChannelView):
        async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
            if rpc.name == "KV.Txn":
                started.append(asyncio.create_task(program_task()))
            return await super().call(rpc, request, **options)

    get = asyncio.create_task(RecipeClient(Starting(view)).queue(b"q").get(timeout=SECONDS))
    await program.until_watchers(1)
    await queue.put(b"item")
    await until_the_time_is_over(view, get)
    assert await get == b"item"
    await program.recipes.queue(b"other").put(b"kept")
    begin.set()
    await asyncio.wait_for(inner.taking.wait(), PATIENCE)
    started[0].cancel()
    inner.go_on.set()
    await asyncio.wait(started)
    assert started[0].cancelled()
    assert await program.recipes.queue(b"other").get(timeout=0) == b"kept"
