"""The tasks that share a counter wait for their turns, each as long as its timeout says."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from recipes_support import PATIENCE, Program

from etcd_channel import ChannelLike, ChannelView, Rpc
from etcd_recipes import Counter, CounterTimeoutError

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Gates(ChannelView):
    """Lets each transaction through when its gate is open."""

    def __init__(self, inner: ChannelLike, number: int) -> None:
        super().__init__(inner)
        self.reached = [asyncio.Event() for _ in range(number)]
        self.gates = [asyncio.Event() for _ in range(number)]
        self.calls = 0

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        async def call() -> ResponseT:
            if rpc.name.endswith("Txn"):
                number, self.calls = self.calls, self.calls + 1
                self.reached[number].set()
                await self.gates[number].wait()
            return await self.inner.call(rpc, request, timeout=PATIENCE, endpoint=endpoint)

        return call()


async def test_a_call_between_two_turns_keeps_to_its_timeout(program: Program) -> None:
    view = Gates(program.channel, 3)
    counter = Counter(view, b"n")
    await program.recipes.counter(b"n").add(0)
    await counter.get()

    async def twice() -> None:
        assert await counter.add() == 1
        # At once: the turn has been given to the other call, which has not begun yet.
        with pytest.raises(CounterTimeoutError, match="earlier calls"):
            await counter.add(timeout=0.3)

    first = asyncio.create_task(twice())
    await asyncio.wait_for(view.reached[0].wait(), PATIENCE)
    second = asyncio.create_task(counter.add(timeout=PATIENCE))
    for _ in range(20):
        await asyncio.sleep(0)
    view.gates[0].set()
    try:
        await asyncio.wait_for(asyncio.shield(first), PATIENCE / 2)
    finally:
        view.gates[1].set()
        view.gates[2].set()
        await asyncio.wait([first, second])
    assert await second == 2
    assert await counter.get() == 2
