"""`CacheReader`, the iterator over the changes of a cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, TypeVar, cast

from etcd_cache._follower import Follower
from etcd_cache._readers import ReaderQueue
from etcd_cache.changes import CacheChange, CacheChangeKind, CacheGap
from etcd_cache.entry import CacheEntry
from etcd_channel import NonCopyable

__all__ = ["CacheReader"]

T = TypeVar("T")


class CacheReader(NonCopyable, AsyncIterator[T], Generic[T]):
    """An iterator over the changes of a cache, since it was made by `Cache.changes`.

    It ends when the cache is closed, and raises the error that ended the cache otherwise; changes
    that were not read then are read first. `close` ends it alone, and so does dropping its last
    reference, as `break` does in `async for change in cache.changes()`.

    Cancelling a task that waits for a change loses no change. Several tasks may read one reader:
    each change goes to one of them.
    """

    def __init__(
        self,
        follower: Follower[Any],
        queue: ReaderQueue[Any],
        initial: Iterator[CacheEntry[Any]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._follower = follower
        self._queue = queue
        self._initial = initial
        self._closed = False

    def __repr__(self) -> str:
        return f"CacheReader({self._follower.start!r}{', closed' if self._closed else ''})"

    async def __anext__(self) -> T:
        # The type of a change follows from the cache, and `Cache.changes` says it.
        return cast(T, await self._next())

    async def _next(self) -> CacheChange[Any] | CacheGap[Any]:
        follower, queue = self._follower, self._queue
        while not self._closed:
            for entry in self._initial:
                revision = entry.mod_revision
                return CacheChange(CacheChangeKind.PUT, entry.key, revision, entry, from_list=True)
            if queue.gap:
                queue.gap, queue.since = False, follower.content.proven
                return CacheGap(follower.content.entries(b"", None))
            change = follower.queues.take(queue)
            if change is not None:
                return change
            if follower.closed:
                break
            follower.check()
            await follower.changed.wait()
        raise StopAsyncIteration

    def close(self) -> None:
        """End the iteration; idempotent."""
        self._closed = True
        self._initial = iter(())
        self._follower.queues.remove(self._queue)
        self._follower.changed.send()

    def __del__(self) -> None:
        # Perhaps in another thread.
        if not getattr(self, "_closed", True):
            try:
                self._loop.call_soon_threadsafe(self._follower.queues.remove, self._queue)
            except RuntimeError:
                pass  # The loop is closed, and so is the cache.
