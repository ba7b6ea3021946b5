"""Locks between the tasks of one process, acquired before anything is sent to etcd."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque

from etcd_channel import ChannelLike

__all__ = ["LocalLock", "LocalLocks", "local_locks"]


class LocalLock:
    """A lock for one task at a time, acquired in the order of the calls to `acquire`.

    Like `asyncio.Lock`, but with a timeout: `asyncio.wait_for`, before Python 3.12, would lose a
    lock that is acquired in the same iteration of the loop as a cancellation.
    """

    def __init__(self, held: set[LocalLock]) -> None:
        self._held = held
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, timeout: float | None) -> bool:
        """Acquire the lock; return False if that took longer than `timeout` seconds.

        None sets no limit. A task that is cancelled does not hold the lock.
        """
        if self.acquire_nowait():
            return True
        handed_over = asyncio.get_running_loop().create_future()
        self._waiting.append(handed_over)
        try:
            await asyncio.wait([handed_over], timeout=timeout)
        except asyncio.CancelledError:
            if handed_over.done():
                self.release()
            else:
                self._waiting.remove(handed_over)
            raise
        if handed_over.done():
            return True
        self._waiting.remove(handed_over)
        return False

    def acquire_nowait(self) -> bool:
        """Acquire the lock if no task holds it; return whether it was acquired."""
        if self in self._held:
            return False
        self._held.add(self)
        return True

    def release(self) -> None:
        """Hand the lock over to the task that has waited longest, if any is waiting."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._held.discard(self)


class LocalLocks:
    """A local lock for each key; locks that no task holds or waits for are dropped."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[bytes, LocalLock] = weakref.WeakValueDictionary()
        # Keeps held locks, even those of a holder that was dropped without a release.
        self._held: set[LocalLock] = set()

    def at(self, key: bytes) -> LocalLock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = LocalLock(self._held)
        return lock


def local_locks(channel: ChannelLike) -> LocalLocks:
    """Make the local locks of a channel; for `Channel.shared`.

    Each contender in etcd has a lease, a watch and a key of its own. Of those that share a channel,
    only the first contends in etcd; the others wait for it here.
    """
    return LocalLocks()
