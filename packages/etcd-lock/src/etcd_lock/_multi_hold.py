"""Several keys that are held together: the loss of one is the loss of all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from etcd_lock._hold import Hold, Holding
from etcd_lock._waiting import until_one_is_done
from etcd_lock.errors import LockLostError

__all__ = ["MultiHold"]


class MultiHold(Holding):
    """The keys of a `MultiLock`, which share the session's lease, until they are released."""

    def __init__(self, name: str, holds: Sequence[Hold]) -> None:
        self.name = name
        self.lease = holds[0].lease
        self._holds = holds

    @property
    def notified(self) -> bool:
        return any(hold.notified for hold in self._holds)

    def notify(self, creator: asyncio.Task[Any] | None = None) -> None:
        for hold in self._holds:
            hold.notify(creator)

    def error(self) -> LockLostError:
        # If a key was deleted, it is the reason; a lost lease is the loss of all keys.
        deleted = [hold for hold in self._holds if hold.key_was_deleted]
        lost = [hold for hold in self._holds if not hold.released]
        return [*deleted, *lost, self._holds[0]][0].error()

    async def until_lost(self) -> LockLostError:
        await self._until_one_ends()
        return self.error()

    async def loss_to_cancel_for(self) -> LockLostError | None:
        ended = await self._until_one_ends()
        return None if all(hold.released for hold in ended) else self.error()

    def record_failed_release(self) -> None:
        for hold in self._holds:
            hold.record_failed_release()

    async def _until_one_ends(self) -> list[Hold]:
        """Wait until a key is lost or released; return those that are. All are watched."""
        ending = {asyncio.create_task(hold.until_lost()): hold for hold in self._holds}
        await until_one_is_done(*ending, timeout=None)
        ended = [task for task in ending if not task.cancelled()]
        for task in ended:
            task.result()
        return [ending[task] for task in ended]
