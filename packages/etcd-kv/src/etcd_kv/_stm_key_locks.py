"""Locks of keys within one process, for transactions that conflict."""

from __future__ import annotations

import asyncio
from collections import deque

from etcd_channel import ChannelLike

__all__ = ["KeyLock", "KeyLocks"]


class KeyLocks:
    """The locks of keys, shared by all transactions on a channel.

    A transaction whose commit has failed locks a key, and others wait before they read this key.
    The locks are advisory: they only avoid commits that would fail, and each wait has a timeout.
    """

    def __init__(self, channel: ChannelLike) -> None:
        # For each locked key, the transactions that wait for it.
        self._waiting: dict[bytes, deque[asyncio.Future[bool]]] = {}

    def is_locked(self, key: bytes) -> bool:
        """Whether a transaction holds the lock of a key."""
        return key in self._waiting

    def try_acquire(self, key: bytes) -> bool:
        """Lock a key if it is not locked; return whether it was acquired."""
        if key in self._waiting:
            return False
        self._waiting[key] = deque()
        return True

    async def wait(self, key: bytes, timeout: float) -> bool:
        """Wait for a locked key, for at most `timeout` seconds; return whether it was acquired."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[key].append(waiter)
        timer = loop.call_later(timeout, _end, waiter, False)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.result():
                self.release(key)
            raise
        finally:
            timer.cancel()

    def release(self, key: bytes) -> None:
        """Pass the lock of a key on to the first transaction that still waits for it."""
        waiting = self._waiting[key]
        while waiting:
            if _end(waiting.popleft(), True):
                return
        del self._waiting[key]


class KeyLock:
    """The lock that one transaction holds, of at most one key."""

    def __init__(self, locks: KeyLocks) -> None:
        self._locks = locks
        self._key: bytes | None = None

    async def wait(self, key: bytes, timeout: float) -> None:
        """Wait for a key if another transaction has locked it."""
        if (
            self._key is None
            and self._locks.is_locked(key)
            and await self._locks.wait(key, timeout)
        ):
            self._key = key

    def try_acquire(self, key: bytes) -> None:
        """Lock a key, unless another transaction has locked it or this one holds a lock."""
        if self._key is None and self._locks.try_acquire(key):
            self._key = key

    def release(self) -> None:
        """Release the lock, if there is one."""
        if self._key is not None:
            self._locks.release(self._key)
            self._key = None


def _end(waiter: asyncio.Future[bool], acquired: bool) -> bool:
    """End a wait; return whether it had not ended before."""
    if waiter.done():
        return False
    waiter.set_result(acquired)
    return True
