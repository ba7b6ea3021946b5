"""The older entries of a queue, which an entry waits for: how to read them, and await their end."""

from __future__ import annotations

from typing import NamedTuple

from etcd_channel import prefix_range_end
from etcd_kv import GetRange, Operation
from etcd_lock._services import Services
from etcd_watch import EventKind

__all__ = ["Older", "OlderEntries"]


class Older(NamedTuple):
    """The older keys that an entry waits for, as of a revision, the newest first.

    With one place, the newest older key only.
    """

    revision: int
    keys: list[bytes]


class OlderEntries:
    """The keys with the prefix `behind`, of which an entry waits for those that are older.

    The entry is admitted when there are fewer than `places` of them.
    """

    def __init__(self, services: Services, behind: bytes, places: int) -> None:
        self._services = services
        self._behind = behind
        self._places = places

    # With the transaction that puts the entry ----------------------------------------------

    def operation(self) -> Operation:
        """Return the operation that reads the newest keys, enough for `of_answer`."""
        return self._services.kv.transactions.get(
            self._behind,
            prefix_range_end(self._behind),
            sort_order="descend",
            sort_target="create",
            keys_only=True,
            limit=self._places + 1,
        )

    def of_answer(self, newest: GetRange, revision: int, seen: int) -> Older | None:
        """Return the keys that are older than an entry with this create revision.

        `newest` is the answer to `operation` at the revision `seen`. None if there may be more
        older keys than it has.
        """
        older = [found.key for found in newest if found.create_revision < revision]
        all_are_read = len(newest) <= self._places
        nearest_is_read = self._places == 1 and bool(older)
        if not (all_are_read or nearest_is_read):
            return None
        return Older(seen, older[: self._places])

    # Later -----------------------------------------------------------------------------------

    async def read(self, key: bytes, revision: int) -> Older | None:
        """Read the keys that are older than the entry `key` with this create revision.

        With one place the newest one, else all of them. None if the entry no longer exists; that
        is found out if it would be admitted, or costs nothing.
        """
        kv = self._services.kv
        # Not in one transaction: when a transaction that only reads is cancelled, etcd before
        # 3.5.5 panics (its issue 14110).
        found = await kv.get_prefix(
            self._behind,
            "descend",
            "create",
            keys_only=True,
            limit=2 if self._places == 1 else None,
            max_create_revision=revision,
        )
        older = [read.key for read in found if read.create_revision < revision]
        if self._places == 1:
            del older[1:]
        if key.startswith(self._behind):
            own = next((read for read in found if read.key == key), None)
        elif len(older) < self._places:
            own = await kv.get(key, keys_only=True)
        else:
            return Older(found.header.revision, older)
        if own is None or own.create_revision != revision:
            return None
        return Older(found.header.revision, older)

    async def until_fewer(self, older: Older) -> None:
        """Return when enough of the older keys are deleted for the entry to be admitted.

        Raises `RevisionCompactedError` if the history since they were read was compacted.
        """
        watches, start = self._services.watches, older.revision + 1
        if self._places == 1:
            watch = watches.watch(older.keys[0], start_revision=start, kind=EventKind.DELETE)
        else:
            # Any of the older entries may be deleted first: one watch reports all of them.
            watch = watches.watch_prefix(self._behind, start_revision=start, kind=EventKind.DELETE)
        left = set(older.keys)
        async with watch:
            async for event in watch:
                left.discard(event.kv.key)
                if len(left) < self._places:
                    return
