"""A view of a channel whose requests may arrive late, as when the network holds them up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from etcd_channel import ChannelLike, ChannelView, ConnectionTimeoutError
from etcd_kv.rpcs import TXN

__all__ = ["LateTransactions"]


class LateTransactions(ChannelView):
    """A view that fails the next `failing` transactions and keeps them, until `deliver`.

    The transaction after `hold_up` fails not, but is sent only when the event is set that it
    returns.
    """

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.failing = 0
        self.held_up = asyncio.Event()
        """Whether there was a transaction since `hold_up`."""
        self._go_on: asyncio.Event | None = None
        self._held: list[Callable[[], Awaitable[Any]]] = []

    async def call(self, rpc: Any, *arguments: Any, **options: Any) -> Any:
        call = partial(super().call, rpc, *arguments, **options)
        if rpc.path == TXN.path and self.failing:
            self.failing -= 1
            self._held.append(call)
            raise ConnectionTimeoutError("the request is held up")
        if rpc.path == TXN.path and self._go_on is not None:
            go_on, self._go_on = self._go_on, None
            self.held_up.set()
            await go_on.wait()
        return await call()

    def hold_up(self) -> asyncio.Event:
        self.held_up.clear()
        self._go_on = asyncio.Event()
        return self._go_on

    async def deliver(self) -> int:
        """Send the transactions that were kept, in their order; return how many succeeded."""
        held = list(self._held)
        self._held.clear()
        return sum([(await call()).succeeded for call in held])
