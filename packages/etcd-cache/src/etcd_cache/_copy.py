"""The content of a cache: takes lists and events, and computes the changes."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final, Generic, NamedTuple, TypeVar, cast

from etcd_cache._decoding import Decoding
from etcd_cache._listing import Listing, Stored
from etcd_cache._ordered_map import OrderedMap
from etcd_cache.changes import CacheChange, CacheChangeKind
from etcd_cache.entries import CacheEntries
from etcd_cache.entry import CacheEntry, detached, entry_of
from etcd_channel import KeyValueLike
from etcd_watch import Event, EventKind

__all__ = ["Copy", "Undecodable"]

V = TypeVar("V")

_PUT: Final = CacheChangeKind.PUT
_DELETE: Final = CacheChangeKind.DELETE
_UNDECODABLE: Final = CacheChangeKind.UNDECODABLE

_by_revision: Final = attrgetter("revision")


class Undecodable(NamedTuple):
    """A value that cannot be decoded: the revision that it is from, and what `decode` raised."""

    mod_revision: int
    error: Exception


class Copy(Generic[V]):
    """A copy of a range of keys at one revision; synchronous and without I/O.

    `take_list` replaces the content by a list, `take_events` applies events; both return the
    changes, if there is anybody to be told. The revision never falls, except by a list of another
    history: that of a cluster which was restored from a backup.
    """

    def __init__(self, decoding: Decoding[V] | None) -> None:
        self._decoding = decoding
        self._map: OrderedMap[Stored[V]] = OrderedMap()
        self._listing = Listing()
        self.revision = 0
        """The revision of the content; 0 before the first list."""
        self._position = 0
        # The keys that came after `_position` and are gone by `revision`.
        self._passing: dict[bytes, CacheEntry[V]] = {}
        self.lists = 0
        """The number of lists that it has taken."""
        self.undecodable: dict[bytes, Undecodable] = {}
        """The keys whose present value cannot be decoded."""

    # Reading ---------------------------------------------------------------------------

    def entry(self, key: bytes) -> CacheEntry[V] | None:
        """Return the entry of a key; None if it is not there."""
        stored = self._map.get(key)
        return None if stored is None else self._listing.entry(stored)

    def entries(self, start: bytes, end: bytes | None) -> CacheEntries[V]:
        """Return the entries of a range; an `end` of None means to the last."""
        return CacheEntries.of(self.revision, self._listing, self._map.values(start, end))

    def __len__(self) -> int:
        return len(self._map)

    def __contains__(self, key: object) -> bool:
        return key in self._map

    @property
    def keys_in_etcd(self) -> int:
        """The number of keys that etcd has at the revision, also those without a good value."""
        return len(self._map) + sum(key not in self._map for key in self.undecodable)

    # Lists -----------------------------------------------------------------------------

    def take_list(
        self,
        revision: int,
        listing: Listing,
        *,
        new_history: bool = False,
        tell: bool = True,
    ) -> list[CacheChange[V]]:
        """Replace the content by all keys at `revision`, in order; return the differences.

        The differences to nothing, at the first list, are not returned. With `new_history`, equal
        revisions do not mean equal values, so each key is a difference.
        """
        before, listed, known = self._map, self._listing, self.undecodable
        tell = tell and self.lists > 0
        self.lists += 1
        self.revision = self._position = revision
        self._passing.clear()
        self.undecodable = {}
        changes: list[CacheChange[V]] = []
        if self._decoding is None:
            # All of the list, not only what is different, so that no page of an earlier list is
            # kept in memory.
            self._map = OrderedMap(cast("dict[bytes, Stored[V]]", listing.positions))
            self._listing = listing
            if not tell:
                return []
            for keyvalue in listing:
                stored = before.get(keyvalue.key)
                if stored is None:
                    changes.append(_put(keyvalue, entry_of(keyvalue), None, from_list=True))
                elif new_history or listed.found(stored).mod_revision != keyvalue.mod_revision:
                    old = listed.entry(stored)
                    changes.append(_put(keyvalue, entry_of(keyvalue), old, from_list=True))
        else:
            content: dict[bytes, Stored[V]] = {}
            for keyvalue in listing:
                key = keyvalue.key
                stored, bad = before.get(key), known.get(key)
                last_good = None if stored is None else listed.entry(stored)
                last = bad or last_good
                same = last is not None and last.mod_revision == keyvalue.mod_revision
                if same and not new_history:
                    if bad is not None:
                        self.undecodable[key] = bad
                    if last_good is not None:
                        content[key] = last_good
                    continue
                taken, change = self._taken(keyvalue, last_good, self._decoding, from_list=True)
                if taken is not None:
                    content[key] = taken
                changes.append(change)
            self._map = OrderedMap(content)
        if not tell:
            return []
        changes += [
            CacheChange(_DELETE, key, revision, None, listed.entry(stored), from_list=True)
            for key in before.keys() - listing.positions.keys()
            if (stored := before.get(key)) is not None
        ]
        changes.sort(key=_by_revision)
        return changes

    # Events ----------------------------------------------------------------------------

    def take_events(self, events: Iterable[Event], *, tell: bool = True) -> list[CacheChange[V]]:
        """Apply events, oldest first and in whole revisions; return the changes.

        Events up to the list or the last events are ignored: the content has them. Those up to a
        revision that was proven do not change the content, because their keys are gone by then;
        they are changes all the same.
        """
        changes: list[CacheChange[V]] = []
        start, proven = self._position, self.revision
        for event in events:
            keyvalue = event.kv
            revision = keyvalue.mod_revision
            if revision <= start:
                continue
            self._position = revision
            if revision <= proven:
                if tell:
                    changes.append(self._passed(event))
                continue
            key = keyvalue.key
            if event.kind is EventKind.DELETE:
                if tell:
                    changes.append(CacheChange(_DELETE, key, revision, None, self.entry(key)))
                self._map.pop(key)
                self.undecodable.pop(key, None)
            elif self._decoding is None:
                kept = detached(keyvalue)
                if tell:
                    changes.append(_put(kept, entry_of(kept), self.entry(key), from_list=False))
                self._map.put(key, kept)
            else:
                old = self.entry(key)
                self.undecodable.pop(key, None)
                taken, change = self._taken(keyvalue, old, self._decoding, from_list=False)
                if taken is None:
                    self._map.pop(key)
                else:
                    self._map.put(key, taken)
                if tell:
                    changes.append(change)
            self.revision = revision
        return changes

    def advance(self, revision: int) -> None:
        """Record that all events up to `revision` were taken."""
        self._position = max(self._position, revision)
        self.revision = max(self.revision, revision)

    def prove(self, revision: int) -> None:
        """Record that etcd has the same content at `revision`; events up to it may still come."""
        self.revision = max(self.revision, revision)

    @property
    def proven(self) -> int:
        """The revision of the content, if events up to it may still come; otherwise 0."""
        return self.revision if self.revision > self._position else 0

    def _passed(self, event: Event) -> CacheChange[V]:
        """Return the change of a key that has come and gone by the revision of the content."""
        keyvalue = event.kv
        key = keyvalue.key
        old = self._passing.pop(key, None)
        if event.kind is EventKind.DELETE:
            return CacheChange(_DELETE, key, keyvalue.mod_revision, None, old)
        taken: CacheEntry[V] | None
        if self._decoding is None:
            kept = detached(keyvalue)
            taken = entry_of(kept)
            change = _put(kept, taken, old, from_list=False)
        else:
            taken, change = self._taken(keyvalue, old, self._decoding, from_list=False)
            self.undecodable.pop(key, None)
        if taken is not None:
            self._passing[key] = taken
        return change

    # -----------------------------------------------------------------------------------

    def _taken(
        self,
        keyvalue: KeyValueLike,
        old: CacheEntry[V] | None,
        decoding: Decoding[V],
        *,
        from_list: bool,
    ) -> tuple[CacheEntry[V] | None, CacheChange[V]]:
        """Decode a key that was put; return what becomes of it, and the change."""
        made = decoding.entry(keyvalue)
        if isinstance(made, CacheEntry):
            return made, _put(keyvalue, made, old, from_list=from_list)
        key, revision = keyvalue.key, keyvalue.mod_revision
        self.undecodable[key] = Undecodable(revision, made)
        # A key that was deleted in the meantime, which only a list can hide, has no last value.
        kept = (
            decoding.keeps and old is not None and old.create_revision == keyvalue.create_revision
        )
        kind = _UNDECODABLE if kept or old is None else _DELETE
        change = CacheChange(kind, key, revision, None, old, from_list, made)
        return old if kept else None, change


def _put(
    keyvalue: KeyValueLike,
    entry: CacheEntry[V],
    previous: CacheEntry[V] | None,
    *,
    from_list: bool,
) -> CacheChange[V]:
    revision = keyvalue.mod_revision
    return CacheChange(_PUT, keyvalue.key, revision, entry, previous, from_list)
