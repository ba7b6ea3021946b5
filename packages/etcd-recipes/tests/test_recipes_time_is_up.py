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
    """Holds the answer to a transaction back, or fails in its place, when `go_on` is set."""

    def __init__(self, program: Program, error: Exception | None = None) -> None:
        super().__init__(program.channel)
        self.taking = asyncio.Event()
        self.go_on = asyncio.Event()
        self._error = error

    async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
        answer = await super().call(rpc, request, **options)
        if rpc.name == "KV.Txn":
            self.taking.set()
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
