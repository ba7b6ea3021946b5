"""`CacheEntries`, several keys of a cache, of one revision."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Final, TypeVar, overload

from etcd_cache._listing import Listing, Stored
from etcd_cache.entry import CacheEntry

__all__ = ["CacheEntries"]

V = TypeVar("V")

_NO_LISTING: Final = Listing()


class CacheEntries(Sequence[CacheEntry[V]]):
    """Entries of a cache, all of one revision, in the order of their keys.

    It does not change when the cache does. Each entry is made when it is accessed.
    """

    __slots__ = ("_listing", "_stored", "revision")

    revision: Final[int]
    """The revision of etcd's store that the entries are from."""

    def __init__(self, revision: int, entries: Sequence[CacheEntry[V]]) -> None:
        self.revision = revision
        self._listing = _NO_LISTING
        self._stored: Sequence[Stored[V]] = entries

    @classmethod
    def of(cls, revision: int, listing: Listing, stored: Sequence[Stored[V]]) -> CacheEntries[V]:
        """Build it from what a cache has of the keys."""
        made: CacheEntries[V] = cls(revision, ())
        made._listing = listing
        made._stored = stored
        return made

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, index: int) -> CacheEntry[V]: ...
    @overload
    def __getitem__(self, index: slice) -> list[CacheEntry[V]]: ...
    def __getitem__(self, index: int | slice) -> CacheEntry[V] | list[CacheEntry[V]]:
        if isinstance(index, slice):
            return list(map(self._listing.entry, self._stored[index]))
        return self._listing.entry(self._stored[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CacheEntries):
            return NotImplemented
        return (
            self.revision == other.revision
            and len(self) == len(other)
            and all(map(operator.eq, self, other))
        )

    def __hash__(self) -> int:
        return hash((self.revision, tuple(self)))

    def __repr__(self) -> str:
        shown = ", ".join(repr(entry) for entry in self[:3])
        rest = len(self) - 3
        more = f", and {rest} more" if rest > 0 else ""
        return f"CacheEntries(revision={self.revision}, [{shown}{more}])"

    def __reduce__(self) -> tuple[Any, ...]:
        return CacheEntries, (self.revision, list(self))
