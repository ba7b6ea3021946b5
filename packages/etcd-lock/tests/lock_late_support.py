"""A view of a channel whose requests may arrive late, as when the network holds them up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from etcd_channel import ChannelLike, ChannelView, ConnectionTimeoutError
from etcd_kv.rpcs import TXN

__all__ = ["LateTransactions"]


class LateTransactions(ChannelView):
    """A view that fails the next `failing` transactions and keeps them, until `deliver`."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.failing = 0
        self._held: list[Callable[[], Awaitable[Any]]] = []

    async def call(self, rpc: Any, *arguments: Any, **options: Any) -> Any:
        call = partial(super().call, rpc, *arguments, **options)
        if rpc.path == TXN.path and self.failing:
            self.failing -= 1
            self._held.append(call)
            raise ConnectionTimeoutError("the request is held up")
        return await call()

    async def deliver(self) -> int:
        """Send the transactions that were kept, in their order; return how many succeeded."""
        held = list(self._held)
        self._held.clear()
        return sum([(await call()).succeeded for call in held])
