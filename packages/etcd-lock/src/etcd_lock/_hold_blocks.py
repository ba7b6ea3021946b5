"""The `async with` blocks of an object that can be lost, each with the hold it entered with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
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
    and the one that holds the object now. So each block is left with its own hold, or with a later
    one if its body has released that and acquired the object again.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self._block = Block(channel, _log)
        # In the order of entering. A task may enter a block again in one whose hold was released or
        # is lost.
        self._entered: list[tuple[asyncio.Task[Any] | None, HoldT]] = []

    def enter(self, hold: HoldT | None, *, cancel_on_loss: bool) -> None:
        """Record that the current task enters a block with `hold`."""
        if hold is None:
            return
        self._entered.append((current_task(), hold))
        if cancel_on_loss:
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
        released before. `present` is the object's hold now. It is the one that is left if the task
        is in no block, as after `acquire` and `AsyncExitStack.push_async_exit`.
        """
        hold = self._left(present)
        if hold is None or hold.left:
            await self._block.leave(error, None, notified=True, notify=_nothing)
        else:
            releasing = hold.loss_on_leaving(release(hold))
            await self._block.leave(error, releasing, notified=hold.notified, notify=hold.notify)

    def _left(self, present: HoldT | None) -> HoldT | None:
        """Return the hold that is left, and forget its block."""
        task = current_task()
        entered = any(hold is present for _, hold in self._entered)
        again = present is not None and not entered and present.is_of_current_task
        own = [at for at, (owner, _) in enumerate(self._entered) if owner is task]
        if own:
            _, hold = self._entered.pop(own[-1])
            # The body may have released what it entered with, and acquired it again.
            return present if hold.left and again else hold
        if again or not self._entered:
            return present
        # The block is left in another task than it was entered in, as a fixture or a stack does.
        # Which one is known only if there is one; most likely it is that of the present hold.
        likely = [at for at, (_, hold) in enumerate(self._entered) if hold is present]
        released = [at for at, (_, hold) in enumerate(self._entered) if hold.left]
        _, hold = self._entered.pop([*likely, *released, 0][0])
        return hold


def _nothing() -> None:
    pass
