"""The `async with` blocks of an object that can be lost, each with the hold it entered with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, NamedTuple, TypeVar

from etcd_channel import ChannelLike
from etcd_channel.owner import current_owner
from etcd_lease.blocks import Block
from etcd_lease.loss import loss_notices
from etcd_lock._hold import BlockToken, Holding, surrounding_blocks
from etcd_lock.errors import LockLostError

__all__ = ["HoldBlocks"]

_log = logging.getLogger("etcd_lock")

HoldT = TypeVar("HoldT", bound=Holding)


class HoldBlocks(Generic[HoldT]):
    """The blocks of one object that tasks are in.

    Tasks that share the object may be in a block at once: those whose hold was released or is lost,
    and the one that holds the object now. So each block is left with its own hold, and also with
    the present one if that was acquired by a call in its body, or in a task that was created there,
    and in no block within it.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self._block = Block(channel, _log)
        # In the order of entering. A task may enter a block again in one whose hold was released or
        # is lost.
        self._entered: list[_Entered] = []

    def enter(self, hold: HoldT | None, *, cancel_on_loss: bool) -> None:
        """Record that the current task enters a block with `hold`."""
        if hold is None:
            return
        hold.of_block = True
        entered = _Entered(current_owner(), hold, BlockToken())
        self._entered.append(entered)
        surrounding_blocks.set((*_not_left(), entered.block))
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
        holds = [hold for hold in self._left(present) if not hold.left]
        if not holds:
            await self._block.leave(error, None, notified=True, notify=_nothing)
            return
        # The body need not be told again of a loss, but of that of the other hold.
        untold = [hold for hold in holds if not hold.notified]
        counted = untold or holds
        releasing = _release(holds, release, counted)
        await self._block.leave(error, releasing, notified=not untold, notify=counted[0].notify)

    def _left(self, present: HoldT | None) -> list[HoldT]:
        """Return the holds that are left, the oldest first, and forget their block."""
        at = self._block_to_leave(present)
        if at is None:
            return [] if present is None else [present]
        _, hold, block = self._entered.pop(at)
        block.left = True
        surrounding_blocks.set(_not_left())
        if present is None or present.of_block:
            return [hold]
        blocks = {block, *(one.block for one in self._entered)}
        around = [one for one in present.acquired_in if one in blocks]
        again = around[-1] is block if around else present.is_own
        return [hold, present] if again else [hold]

    def _block_to_leave(self, present: HoldT | None) -> int | None:
        owner = current_owner()
        own = [at for at, one in enumerate(self._entered) if one.owner is owner]
        if own:
            return own[-1]
        if not self._entered:
            return None
        if present is not None and present.is_own and not present.of_block:
            return None
        around = surrounding_blocks.get()
        inside = [at for at, one in enumerate(self._entered) if one.block in around]
        if inside:
            return inside[-1]  # by a task that was created in the body
        # The block is left in another task than it was entered in, as a fixture or a stack does.
        # Which one is known only if there is one; most likely it is that of the present hold.
        likely = [at for at, one in enumerate(self._entered) if one.hold is present]
        released = [at for at, one in enumerate(self._entered) if one.hold.left]
        return [*likely, *released, 0][0]


class _Entered(NamedTuple):
    owner: object
    hold: Any
    block: BlockToken


async def _release(
    holds: list[HoldT],
    release: Callable[[HoldT], Coroutine[Any, Any, bool]],
    counted: list[HoldT],
) -> LockLostError | None:
    """Release the holds; return the error for the first of those `counted` that was lost before."""
    first, *later = holds
    try:
        loss = await first.loss_on_leaving(release(first))
    finally:
        loss_of_later = await _release(later, release, counted) if later else None
    return loss if loss is not None and first in counted else loss_of_later


def _not_left() -> tuple[BlockToken, ...]:
    # A block may have been left in another context than this one.
    return tuple(one for one in surrounding_blocks.get() if not one.left)


def _nothing() -> None:
    pass
