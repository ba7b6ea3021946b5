"""`CacheChange`, a change of one key in a cache, and `CacheGap`, the mark of changes not told."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Generic, TypeVar

from etcd_cache.entries import CacheEntries
from etcd_cache.entry import CacheEntry

__all__ = ["CacheChange", "CacheChangeKind", "CacheGap"]

V = TypeVar("V")


class CacheChangeKind(str, enum.Enum):
    """The kind of change to a key; equal to its name as a string."""

    PUT = "PUT"
    """The key has another value."""
    DELETE = "DELETE"
    """The key is gone, by a request or because its lease ended."""
    UNDECODABLE = "UNDECODABLE"
    """The key was put with a value that cannot be decoded; the cache did not take it over."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CacheChange(Generic[V]):
    """A change of one key.

    Changes come in the order of their revisions. The changes since some content of the cache,
    applied to that content one after another, give the content now: a PUT sets the key to `entry`,
    a DELETE removes it, and an UNDECODABLE changes nothing.
    """

    kind: CacheChangeKind
    """What happened to the key."""
    key: bytes
    """The key."""
    revision: int
    """The revision of the change; that of the list for a DELETE with `from_list`."""
    entry: CacheEntry[V] | None
    """The key after the change; None unless it is a PUT."""
    previous: CacheEntry[V] | None = None
    """The key in the cache before the change; None if it was not there."""
    from_list: bool = False
    """Whether it was found in a list of all keys, not told by an event: it is in the first list, or
    it is a difference to a later one. It stands for all changes of the key since the content
    before it, of which only the result is known."""
    error: Exception | None = None
    """What `decode` raised, if the value could not be decoded; else None."""


@dataclass(frozen=True, slots=True)
class CacheGap(Generic[V]):
    """The mark of changes that a reader was not told, because it read too slowly.

    The changes after it continue from `entries`.
    """

    entries: CacheEntries[V]
    """All keys of the cache when the mark was read, and their revision."""
