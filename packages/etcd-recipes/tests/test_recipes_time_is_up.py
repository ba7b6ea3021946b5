"""A call whose time ends while it takes an item or a job: what was taken is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import pytest
from recipes_support import PATIENCE, Program

from etcd_channel import ChannelLike, ChannelView, ConnectionFailedError
from etcd_lock import Session
from etcd_recipes import Job, RecipeClient

SECONDS = (3.0, 30.0)
"""The time of a call: enough to start a watch and to receive an event of it.

If the first one is not, because the machine is busy, the call is made again with the second one.
"""


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


class Taking:
    """A call that waited for something, and now waits for the answer to its transaction."""

    def __init__(self, view: Held, call: asyncio.Task[Any], seconds: float) -> None:
        self._view = view
        self._seconds = seconds
        self.call = call

    @classmethod
    async def begin(
        cls,
        program: Program,
        view: Held,
        take: Callable[[float], Coroutine[Any, Any, Any]],
        put: Coroutine[Any, Any, object],
    ) -> Taking:
        """Start `take`, and put something when it waits; return when it takes that."""
        putting: asyncio.Task[object] | None = None
        for seconds in SECONDS:
            call = asyncio.create_task(take(seconds))
            while putting is None and not call.done():
                if await program.watchers() == 1:
                    putting = asyncio.create_task(put)
                    await putting
            taking = asyncio.create_task(view.taking.wait())
            await asyncio.wait(
                [call, taking], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
            )
            taking.cancel()
            if view.taking.is_set():
                return cls(view, call, seconds)
            assert await asyncio.wait_for(call, PATIENCE) is None
        raise AssertionError("nothing was taken")

    async def until_the_time_is_over(self) -> None:
        # `asyncio.wait` cancels nothing. The call waits for the answer as long as there is none.
        await asyncio.wait([self.call], timeout=self._seconds + 0.5)
        assert not self.call.done()
        self._view.go_on.set()


def get_of(channel: ChannelLike) -> Callable[[float], Coroutine[Any, Any, bytes | None]]:
    queue = RecipeClient(channel).queue(b"q")
    return lambda seconds: queue.get(timeout=seconds)


def take_of(
    channel: ChannelLike, session: Session
) -> Callable[[float], Coroutine[Any, Any, Job | None]]:
    jobs = RecipeClient(channel).work_queue(b"w")
    return lambda seconds: jobs.take(session, timeout=seconds)


async def test_an_item_that_is_being_taken_is_returned(program: Program, other: Program) -> None:
    view, queue = Held(other), program.recipes.queue(b"q")
    taking = await Taking.begin(program, view, get_of(view), queue.put(b"item"))
    await taking.until_the_time_is_over()
    assert await taking.call == b"item"
    await program.until_watchers(0)
    assert await queue.size() == 0


async def test_a_get_that_fails_says_so_after_its_time(program: Program, other: Program) -> None:
    lost = ConnectionFailedError("lost", code=grpc.StatusCode.UNAVAILABLE, definite=False)
    view, queue = Held(other, lost), program.recipes.queue(b"q")
    taking = await Taking.begin(program, view, get_of(view), queue.put(b"item"))
    await taking.until_the_time_is_over()
    with pytest.raises(ConnectionFailedError, match="lost"):
        await taking.call
    await program.until_watchers(0)


async def test_a_job_that_is_being_claimed_is_returned(program: Program, other: Program) -> None:
    view, jobs = Held(other), program.recipes.work_queue(b"w")
    async with Session(other.channel, 60) as session:
        taking = await Taking.begin(program, view, take_of(view, session), jobs.put(b"job"))
        await taking.until_the_time_is_over()
        job = await taking.call
        assert job is not None
        assert (job.value, job.attempt) == (b"job", 1)
        assert await job.done()
    await program.nothing_is_left()


async def test_a_get_ends_after_its_time_if_another_was_faster(
    program: Program, other: Program
) -> None:
    view, queue = Held(other, late=True), program.recipes.queue(b"q")
    taking = await Taking.begin(program, view, get_of(view), queue.put(b"item"))
    assert await queue.get(timeout=0) == b"item"
    await taking.until_the_time_is_over()
    assert await asyncio.wait_for(taking.call, PATIENCE) is None
    await program.until_watchers(0)


async def test_a_take_ends_after_its_time_if_another_was_faster(
    program: Program, other: Program
) -> None:
    view, jobs = Held(other, late=True), program.recipes.work_queue(b"w")
    async with Session(other.channel, 60) as session, Session(program.channel, 60) as faster:
        taking = await Taking.begin(program, view, take_of(view, session), jobs.put(b"job"))
        job = await jobs.take(faster, timeout=0)
        assert job is not None
        await taking.until_the_time_is_over()
        assert await asyncio.wait_for(taking.call, PATIENCE) is None
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

    taking = await Taking.begin(program, view, get_of(Starting(view)), queue.put(b"item"))
    await taking.until_the_time_is_over()
    assert await taking.call == b"item"
    await program.recipes.queue(b"other").put(b"kept")
    begin.set()
    await asyncio.wait_for(inner.taking.wait(), PATIENCE)
    started[0].cancel()
    inner.go_on.set()
    await asyncio.wait(started)
    assert started[0].cancelled()
    assert await program.recipes.queue(b"other").get(timeout=0) == b"kept"
