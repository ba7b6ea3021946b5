"""The body of an `async with`, cancelled when what protects it is lost."""

from __future__ import annotations

import asyncio
import sys

from etcd_lease import Lease

__all__ = ["GuardedBody"]


class GuardedBody:
    """Cancels the task that made it when a lease is lost, until `leave`."""

    def __init__(self, lease: Lease) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._body = task
        self._cancelled = False
        self._watcher = asyncio.create_task(self._watch(lease))

    async def _watch(self, lease: Lease) -> None:
        await lease.lost
        self._cancelled = True
        self._body.cancel()

    async def leave(self) -> bool:
        """Stop watching; say whether the body was cancelled by the loss, and by nothing else."""
        self._watcher.cancel()
        await asyncio.wait([self._watcher])
        if not self._cancelled:
            return False
        if sys.version_info < (3, 11):
            return True  # Python 3.10 cannot tell whether somebody else cancelled it too
        return self._body.uncancel() == 0
