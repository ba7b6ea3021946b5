"""`OrderedMap`, a mapping that can be read in the order of its keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import KeysView
from typing import Final, Generic, TypeVar

__all__ = ["OrderedMap"]

S = TypeVar("S")

# The number of new and removed keys from which sorting all keys takes less time than placing each.
_SORT_ALL: Final = 100


class OrderedMap(Generic[S]):
    """A dict of bytes, and a sorted list of its keys.

    A change costs as much as in a dict. The list is brought up to date when it is read next: each
    key that is new or gone since moves the rest of the list, which takes about 20 microseconds with
    a hundred thousand keys; many of them are sorted together.
    """

    __slots__ = ("_keys", "_stored", "_unsorted", "get")

    def __init__(self, stored: dict[bytes, S] | None = None) -> None:
        self._stored: dict[bytes, S] = {} if stored is None else stored
        self._keys = sorted(self._stored)
        # The keys that were added or removed since the list was up to date.
        self._unsorted: set[bytes] = set()
        # Bound once, because it is called for each read.
        self.get = self._stored.get

    def put(self, key: bytes, value: S) -> None:
        """Set the value of a key."""
        if key not in self._stored:
            self._unsorted.add(key)
        self._stored[key] = value

    def pop(self, key: bytes) -> S | None:
        """Remove a key; return its value, None if it is not there."""
        value = self._stored.pop(key, None)
        if value is not None:
            self._unsorted.add(key)
        return value

    def values(self, start: bytes, end: bytes | None) -> list[S]:
        """Return the values of the keys from `start` to `end` (excluded; None: to the last)."""
        if self._unsorted:
            self._sort()
        keys = self._keys
        low = bisect_left(keys, start)
        high = len(keys) if end is None else bisect_left(keys, end, low)
        chosen = keys if (low, high) == (0, len(keys)) else keys[low:high]
        return list(map(self._stored.__getitem__, chosen))

    def keys(self) -> KeysView[bytes]:
        """The keys, in no particular order."""
        return self._stored.keys()

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, key: object) -> bool:
        return key in self._stored

    def _sort(self) -> None:
        changed, self._unsorted = self._unsorted, set()
        if len(changed) >= _SORT_ALL:
            self._keys = sorted(self._stored)
            return
        keys = self._keys
        for key in changed:
            place = bisect_left(keys, key)
            listed = place < len(keys) and keys[place] == key
            if key in self._stored:
                if not listed:
                    keys.insert(place, key)
            elif listed:
                del keys[place]
