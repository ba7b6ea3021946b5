"""`Listing`, all keys of a list, and `Stored`, what a cache has of a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, TypeVar

from etcd_cache.entry import CacheEntry, entry_of
from etcd_channel import KeyValueLike

__all__ = ["Listing", "Stored"]

V = TypeVar("V")

Stored = int | KeyValueLike | CacheEntry[V]
"""What a cache has of a key: an entry if its value was decoded, else the key as an event brought
it, or its position in a `Listing`.

An object for each of a hundred thousand listed keys would take longer to make than all that it
takes to read them, and most are never asked for.
"""

# The bits of a position that count the keys of a page.
_BITS: Final = 40
_IN_PAGE: Final = (1 << _BITS) - 1

_key_of: Final = attrgetter("key")


class Listing:
    """All keys of a list in order, page by page, as they were received."""

    __slots__ = ("_pages", "positions")

    def __init__(self, *pages: Sequence[KeyValueLike]) -> None:
        self._pages: list[Sequence[KeyValueLike]] = []
        self.positions: dict[bytes, int] = {}
        """The position of each key."""
        for page in pages:
            self.add(page)

    def add(self, page: Sequence[KeyValueLike]) -> None:
        """Add the next page."""
        first = len(self._pages) << _BITS
        self._pages.append(page)
        self.positions.update(zip(map(_key_of, page), range(first, first + len(page)), strict=True))

    def __iter__(self) -> Iterator[KeyValueLike]:
        return chain.from_iterable(self._pages)

    def found(self, stored: Stored[V]) -> KeyValueLike | CacheEntry[V]:
        """Return the key at a position; return anything else unchanged."""
        if isinstance(stored, int):
            return self._pages[stored >> _BITS][stored & _IN_PAGE]
        return stored

    def entry(self, stored: Stored[V]) -> CacheEntry[V]:
        """Return the entry of a key; make it if the cache does not decode."""
        if isinstance(stored, int):
            stored = self._pages[stored >> _BITS][stored & _IN_PAGE]
        elif isinstance(stored, CacheEntry):
            return stored
        return entry_of(stored)
