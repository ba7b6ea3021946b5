"""The reads and writes of one attempt of a transaction, and the request to commit it; no I/O.

At the levels that read at one revision, R, the commit compares two things: that each key that was
read has the same modification revision (0 for a key that did not exist), and that no key of each
range that was read has a modification revision above R. Both are needed: the compare of the range
detects keys that were added or changed, and only that of the key detects a deletion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from etcd_channel import HeaderLike, KeyValue, KeyValueLike, ResponseHeader
from etcd_channel.errors import RevisionCompactedError, TooManyOperationsError
from etcd_kv._stm_ranges import KeyRange
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.stm_results import Isolation

__all__ = ["LEVELS", "UNREAD", "Level", "STMState"]

UNREAD: Final[KeyValueLike] = KeyValue(key=b"unread")
"""Stands for a key that was not read yet."""


class Level:
    """The guarantees of an isolation level."""

    __slots__ = ("guards_reads", "guards_writes", "one_revision")

    def __init__(self, one_revision: bool, guards_reads: bool, guards_writes: bool) -> None:
        self.one_revision = one_revision
        """All reads are at one revision, and ranges are guarded as a whole."""
        self.guards_reads = guards_reads
        """The commit fails if a key that was read has changed."""
        self.guards_writes = guards_writes
        """The commit fails if a key that is written has changed since the first read."""


LEVELS: Final[dict[Isolation, Level]] = {
    "serializable_snapshot": Level(True, True, True),
    "serializable": Level(True, True, False),
    "repeatable_reads": Level(False, True, False),
    "read_committed": Level(False, False, False),
}

# A range of keys, and the most keys that were asked for, 0 for all.
_RangeRead = tuple[KeyRange, int]


class STMState:
    """One attempt of a transaction."""

    def __init__(self, level: Level, prefetch: Iterable[bytes] = ()) -> None:
        self.level = level
        self.header: HeaderLike | None = None
        """The header of the first read at the levels with one revision, else of the last read."""
        self.compacted: RevisionCompactedError | None = None
        """The error of a read at a compacted `revision`; the attempt cannot be committed then."""
        self._prefetch = tuple(prefetch)
        # What was read before the body asked for it.
        self._fetched_keys: dict[bytes, KeyValueLike | None] = {}
        self._fetched_ranges: dict[_RangeRead, pb.RangeResponse] = {}
        # What the body has read; None stands for a key that does not exist.
        self._keys: dict[bytes, KeyValueLike | None] = {}
        self._ranges: dict[_RangeRead, list[KeyValueLike]] = {}
        self._seen: list[KeyRange] = []
        # What the body has written; None stands for a deletion. A key that is also in a deleted
        # range was written after the deletion.
        self._writes: dict[bytes, pb.PutRequest | None] = {}
        self._deleted: list[KeyRange] = []  # ranges without a common key

    @property
    def revision(self) -> int:
        """The revision of all reads; 0 before the first one, and at levels without one revision."""
        return 0 if self.header is None or not self.level.one_revision else self.header.revision

    @property
    def response_header(self) -> ResponseHeader:
        """The header of the reads, for the result."""
        return ResponseHeader() if self.header is None else ResponseHeader(self.header)

    # Reads of keys ---------------------------------------------------------------------

    def known(self, key: bytes) -> KeyValueLike | None:
        """Return a key as the body has written or read it; `UNREAD` if it must be read."""
        if key in self._writes:
            return _written(self._writes[key])
        if any(keys.holds(key) for keys in self._deleted):
            return None
        if key in self._keys:
            return self._keys[key]
        if key in self._fetched_keys:
            return self._record_key(key, self._fetched_keys.pop(key))
        if self.level.one_revision and any(keys.holds(key) for keys in self._seen):
            return None
        return UNREAD

    def known_fetched(self, key: bytes) -> KeyValueLike | None:
        """Return the same as `known`, but do not record that the body has read the key."""
        if key in self._fetched_keys:
            return self._fetched_keys[key]
        return self.known(key)

    def request(self, keys: KeyRange | bytes, limit: int = 0) -> pb.RangeRequest:
        """Return the request for a key or a range."""
        request = _newest(keys, limit)
        request.revision = self.revision
        return request

    def record_key(self, key: bytes, response: pb.RangeResponse) -> KeyValueLike | None:
        """Record and return what was read of a key."""
        self._record_header(response.header)
        return self._record_key(key, response.kvs[0] if response.kvs else None)

    def record_fetched(self, key: bytes, response: pb.RangeResponse) -> None:
        """Record what was read of a key before the body asked for it."""
        self._record_header(response.header)
        self._fetched_keys[key] = response.kvs[0] if response.kvs else None

    def _record_header(self, header: HeaderLike) -> None:
        if self.header is None or not self.level.one_revision:
            self.header = header

    def _record_key(self, key: bytes, found: KeyValueLike | None) -> KeyValueLike | None:
        if self.level.guards_reads:
            self._keys[key] = found
        return found

    # Reads of ranges -------------------------------------------------------------------

    def left_of(self, keys: KeyRange) -> list[KeyRange]:
        """Return the parts of a range that the body has not deleted."""
        return keys.without(self._deleted)

    def limit(self, keys: KeyRange, wanted: int) -> int:
        """Return a limit that is high enough, whichever of the keys the result leaves out.

        These are keys that the body has deleted and, if reads are not at one revision, keys that
        it has read as missing and that exist now.
        """
        if not wanted:
            return 0
        left_out = {key for key, write in self._writes.items() if write is None}
        if not self.level.one_revision:
            left_out.update(key for key, found in self._keys.items() if found is None)
        return wanted + sum(map(keys.holds, left_out))

    def known_range(self, keys: KeyRange, limit: int) -> list[KeyValueLike] | None:
        """Return a range as it was read, without the writes; None if it must be read."""
        read = keys, limit
        if read in self._ranges:
            return self._ranges[read]
        if read in self._fetched_ranges:
            return self._record_range(read, self._fetched_ranges.pop(read))
        return None

    def record_range(
        self, keys: KeyRange, limit: int, response: pb.RangeResponse
    ) -> list[KeyValueLike]:
        """Record and return what was read of a range."""
        self._record_header(response.header)
        return self._record_range((keys, limit), response)

    def _record_range(self, read: _RangeRead, response: pb.RangeResponse) -> list[KeyValueLike]:
        found: list[KeyValueLike] = list(response.kvs)
        if not self.level.guards_reads:
            return found
        keys, _ = read
        # If there are more keys, those after the last one were not read.
        seen = KeyRange(keys.start, found[-1].key + b"\0") if response.more else keys
        if not self.level.one_revision:
            # A key that was read before stays as it was.
            here = {kv.key: kv for kv in found}
            for key, kept in self._keys.items():
                if seen.holds(key):
                    here.pop(key, None)
                    if kept is not None:
                        here[key] = kept
            found = [here[key] for key in sorted(here)]
        self._seen.append(seen)
        for kv in found:
            self._keys[kv.key] = kv
        self._ranges[read] = found
        return found

    def existing(self, found: Iterable[KeyValueLike]) -> list[KeyValueLike]:
        """Return the keys of `found` that the body has not deleted."""
        writes = self._writes
        return [kv for kv in found if writes.get(kv.key, kv) is not None]

    def merged(
        self, keys: KeyRange, found: Iterable[KeyValueLike], limit: int
    ) -> list[KeyValueLike]:
        """Return what was read of a range, merged with the writes of the body."""
        here = {kv.key: kv for kv in found}
        for key, write in self._writes.items():
            if write is not None and keys.holds(key):
                here[key] = _put(write)
        every = [here[key] for key in sorted(here)]
        return every[:limit] if limit else every

    # Writes ----------------------------------------------------------------------------

    def put(self, request: pb.PutRequest) -> None:
        """Put a key at the commit."""
        self._writes[request.key] = request

    def delete(self, key: bytes) -> None:
        """Delete a key at the commit."""
        if any(keys.holds(key) for keys in self._deleted):
            self._writes.pop(key, None)
        else:
            self._writes[key] = None

    def delete_range(self, keys: KeyRange) -> None:
        """Delete a range at the commit."""
        if keys.is_empty:
            return
        for key in [key for key in self._writes if keys.holds(key)]:
            del self._writes[key]
        self._deleted = [left for old in self._deleted for left in old.without([keys])]
        self._deleted.append(keys)

    # Commit ----------------------------------------------------------------------------

    def commit(self, max_txn_ops: int) -> pb.TxnRequest | None:
        """Return the request that commits the attempt; None if it writes nothing.

        If a compare fails, the request reads again what this attempt has read, for the next one.
        Raises `TooManyOperationsError` if the server would.
        """
        if not (self._writes or self._deleted):
            return None
        request = pb.TxnRequest()
        success = request.success
        for key, put in self._writes.items():
            if put is None:
                success.add().request_delete_range.key = key
            else:
                success.add().request_put.CopyFrom(put)
        puts = [KeyRange.of_key(key) for key in self._writes]
        for deleted in self._deleted:
            for left in deleted.without(puts):
                delete = success.add().request_delete_range
                delete.key, delete.range_end = left.start, left.request_end
        if self.level.guards_reads:
            self._guard_reads(request)
        if self.level.guards_writes and self.revision:
            self._guard_writes(request)
        compares, writes = len(request.compare), len(request.success)
        if max(compares, writes) > max_txn_ops:
            raise TooManyOperationsError(
                f"the transaction has {compares} compares, one for each key and each range that was"
                f" read or written, and {writes} writes: of each at most {max_txn_ops}"
                " (max_txn_ops) are possible"
            )
        reads = [_newest(keys, limit) for keys, limit in self._range_reads()]
        reads += [_newest(key) for key in self._key_reads()]
        for read in reads[:max_txn_ops]:
            request.failure.add().request_range.CopyFrom(read)
        return request

    def _guard_reads(self, request: pb.TxnRequest) -> None:
        ranges = self._seen if self.level.one_revision else []
        for keys in ranges:
            _unchanged(request, keys.start, keys.request_end, self.revision)
        for key, found in self._keys.items():
            if found is None and any(keys.holds(key) for keys in ranges):
                continue
            compare = request.compare.add()
            compare.target = pb.Compare.MOD
            compare.key = key
            compare.mod_revision = 0 if found is None else found.mod_revision

    def _guard_writes(self, request: pb.TxnRequest) -> None:
        for key in self._writes:
            if key not in self._keys and not any(keys.holds(key) for keys in self._seen):
                _unchanged(request, key, b"", self.revision)
        for deleted in self._deleted:
            for left in deleted.without(self._seen):
                _unchanged(request, left.start, left.request_end, self.revision)

    # The next attempt ------------------------------------------------------------------

    def _range_reads(self) -> list[_RangeRead]:
        return list(self._ranges)

    def _key_reads(self) -> list[bytes]:
        in_ranges = {kv.key for found in self._ranges.values() for kv in found}
        wanted = dict.fromkeys((*self._keys, *self._prefetch))
        return [key for key in wanted if key not in in_ranges]

    def next(self, response: pb.TxnResponse | None = None) -> STMState:
        """Return the state of the next attempt, with what a failed commit has read for it."""
        state = STMState(self.level, self._prefetch)
        if response is None:
            return state
        answers = [answer.response_range for answer in response.responses]
        if answers and self.level.one_revision:
            state.header = response.header
        ranges = self._range_reads()
        for read, answer in zip(ranges, answers, strict=False):
            state._fetched_ranges[read] = answer
        for key, answer in zip(self._key_reads(), answers[len(ranges) :], strict=False):
            state._fetched_keys[key] = answer.kvs[0] if answer.kvs else None
        return state


def _written(write: pb.PutRequest | None) -> KeyValueLike | None:
    return None if write is None else _put(write)


def _put(write: pb.PutRequest) -> KeyValueLike:
    """Return a key as it will be; its revisions and its version are not known yet."""
    return KeyValue(key=write.key, value=write.value, lease=write.lease)


def _newest(keys: KeyRange | bytes, limit: int = 0) -> pb.RangeRequest:
    start, end = (keys, b"") if isinstance(keys, bytes) else (keys.start, keys.request_end)
    return pb.RangeRequest(key=start, range_end=end, limit=limit)


def _unchanged(request: pb.TxnRequest, start: bytes, end: bytes, revision: int) -> None:
    """Compare that no key of a range was put after a revision."""
    compare = request.compare.add()
    compare.result = pb.Compare.LESS
    compare.target = pb.Compare.MOD
    compare.key, compare.range_end = start, end
    compare.mod_revision = revision + 1
