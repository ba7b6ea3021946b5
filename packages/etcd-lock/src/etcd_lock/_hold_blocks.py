"""The `async with` blocks of an object that can be lost, each with the hold it entered with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any, Generic, TypeVar

from etcd_channel import ChannelLike
from etcd_lease.blocks import Block, current_task
from etcd_lease.loss import loss_notices
from etcd_lock._hold import Holding

__all__ = ["HoldBlocks"]

_log = logging.getLogger("etcd_lock")

HoldT = TypeVar("HoldT", bound=Holding)


class HoldBlocks(Generic[HoldT]):
    """The blocks of one object that tasks are in.

    Tasks that share the object may be in a block at once: those whose hold was released or is lost,
    and the one that holds the object now. So each block is left with its own hold.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self._block = Block(channel, _log)
        # A task may enter a block again in one whose hold was released or is lost.
        self._entered: dict[asyncio.Task[Any] | None, list[HoldT | None]] = {}

    def enter(self, hold: HoldT | None, *, cancel_on_loss: bool) -> None:
        """Record that the current task enters a block with `hold`."""
        self._entered.setdefault(current_task(), []).append(hold)
        if cancel_on_loss and hold is not None:
            message = f"{hold.name} is lost"
            self._block.cancel_on_loss(hold.loss_to_cancel_for, loss_notices(hold.lease), message)

    async def leave(
        self,
        error: BaseException | None,
        release: Callable[[HoldT], Coroutine[Any, Any, bool]],
        present: HoldT | None,
    ) -> None:
        """Leave the block that the current task is in; `error` is the exception of its body.

        `release` releases a hold and returns False if it was lost. It is not called if the hold was
        released before. `present` is the object's present hold, which an `AsyncExitStack` may leave
        without having entered it.
        """
        hold = self._left(present)
        if hold is None or hold.left:
            await self._block.leave(error, None, notified=True, notify=_nothing)
        else:
            releasing = hold.loss_on_leaving(release(hold))
            await self._block.leave(error, releasing, notified=hold.notified, notify=hold.notify)

    def _left(self, present: HoldT | None) -> HoldT | None:
        task = current_task()
        if task not in self._entered:
            if present not in chain.from_iterable(self._entered.values()):
                return present
            # The block is left in another task than it was entered in: as in `Block`.
            task = next(iter(self._entered))
        holds = self._entered[task]
        hold = holds.pop()
        if not holds:
            del self._entered[task]
        return hold


def _nothing() -> None:
    pass
