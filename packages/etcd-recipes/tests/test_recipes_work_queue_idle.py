"""Work queues: what workers send that have nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from google.protobuf.message import Message
from recipes_support import PATIENCE, Program

from etcd_channel import ChannelLike, ChannelView, Rpc
from etcd_lock import Session
from etcd_recipes import WorkQueue

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Transactions(ChannelView):
    """Counts the transactions."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.number = 0

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        self.number += rpc.name.endswith("Txn")
        return self.inner.call(rpc, request, timeout=timeout, endpoint=endpoint)


async def test_a_job_that_is_done_is_not_claimed_by_those_who_wait(program: Program) -> None:
    view, queue = Transactions(program.channel), program.recipes.work_queue(b"w")
    async with program.locks.session(600) as works, Session(view, 600) as waits:
        await queue.put(b"first")
        for _ in range(5):
            job = await queue.take(works, timeout=0)
            assert job is not None
            take = asyncio.create_task(WorkQueue(view, b"w").take(waits))
            await program.until_watchers(1)
            before = view.number
            assert await job.done()
            # It is taken after the deletion was seen.
            next_id = await queue.put(b"next")
            taken = await asyncio.wait_for(take, PATIENCE)
            assert taken is not None
            assert taken.id == next_id
            assert view.number - before == 1
            # A job that is given back is claimed.
            take = asyncio.create_task(queue.take(works))
            await program.until_watchers(1)
            assert await taken.give_back()
            again = await asyncio.wait_for(take, PATIENCE)
            assert again is not None
            assert again.id == next_id
            await again.give_back()
