"""The changes that the readers of a cache have not read yet; synchronous."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from etcd_cache.changes import CacheChange

__all__ = ["ReaderQueue", "ReaderQueues"]

V = TypeVar("V")


class ReaderQueue(Generic[V]):
    """The unread changes of one reader.

    At `limit` changes a queue that `waits` is full: the cache takes no more events until there is
    room. Any other queue is emptied then, and has a gap until the reader takes it.
    """

    __slots__ = ("_changes", "_limit", "gap", "since", "waits")

    def __init__(self, limit: int, *, waits: bool, since: int) -> None:
        self._limit = limit
        self._changes: deque[CacheChange[V]] = deque()
        self.waits = waits
        self.gap = False
        """Whether there are changes that the reader will not be told."""
        self.since = since
        """The revision up to which changes are no news to the reader; 0 if none is to come."""

    def add(self, changes: Sequence[CacheChange[V]]) -> None:
        """Add changes: all of them, or a gap."""
        if self.gap:
            return
        if self.since:
            changes = [change for change in changes if change.revision > self.since]
            if not changes:
                return
            self.since = 0
        if not self.waits and len(self._changes) + len(changes) > self._limit:
            self._changes.clear()
            self.gap = True
            return
        self._changes.extend(changes)

    def pop(self) -> CacheChange[V] | None:
        """Return the oldest change; None if there is none."""
        return self._changes.popleft() if self._changes else None

    @property
    def is_full(self) -> bool:
        """Whether the cache waits for its reader."""
        return self.waits and len(self._changes) >= self._limit


class ReaderQueues(Generic[V]):
    """The queues of all readers; `room` is called when a full one has room again, or is gone."""

    def __init__(self, room: Callable[[], None]) -> None:
        self._queues: set[ReaderQueue[V]] = set()
        self._room = room

    def new(self, limit: int, *, waits: bool, since: int = 0) -> ReaderQueue[V]:
        """Make the queue of a new reader, who has the changes up to `since`."""
        queue: ReaderQueue[V] = ReaderQueue(limit, waits=waits, since=since)
        self._queues.add(queue)
        return queue

    def remove(self, queue: ReaderQueue[V]) -> None:
        """Remove the queue of a reader that has ended; idempotent."""
        if queue in self._queues:
            self._queues.discard(queue)
            if queue.is_full:
                self._room()

    def take(self, queue: ReaderQueue[V]) -> CacheChange[V] | None:
        """Return the oldest change of a queue; None if there is none."""
        was_full = queue.is_full
        change = queue.pop()
        if was_full and not queue.is_full:
            self._room()
        return change

    def add(self, changes: Sequence[CacheChange[V]]) -> None:
        """Tell all readers of changes."""
        if changes:
            for queue in self._queues:
                queue.add(changes)

    def add_list(self, changes: Sequence[CacheChange[V]]) -> None:
        """Tell all readers of the changes of a list, after which no earlier event comes."""
        for queue in self._queues:
            queue.since = 0
        self.add(changes)

    @property
    def any(self) -> bool:
        """Whether there is a reader."""
        return bool(self._queues)

    @property
    def any_is_full(self) -> bool:
        """Whether the cache waits for a reader."""
        return any(queue.is_full for queue in self._queues)
