r"""Finds the key that a transaction would modify twice, which etcd's error does not name.

The rules and the order of the checks are those of etcd's checkIntervals
(server/etcdserver/api/v3rpc/key.go). A key that is put must not be put again or deleted in the same
branch, nested transactions included. The two branches of a nested transaction may put the same key.
Deletions may overlap. A deletion whose range_end is "\0" (all later keys) is treated as empty.
"""

from __future__ import annotations

from collections.abc import Iterable

from etcd_kv.pb import kv_pb2 as pb

__all__ = ["duplicate_key"]


class _ModifiedTwice(Exception):
    """Ends the search; carries the key that was found."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


class _Changes:
    """The keys that a branch puts, and the ranges that it deletes."""

    def __init__(self) -> None:
        self.puts: set[bytes] = set()
        self.deletions: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, *, allowed: Iterable[bytes] = ()) -> None:
        """Add a key that is put; a second put is permitted for the keys in `allowed`."""
        if key in self.puts and key not in allowed:
            raise _ModifiedTwice(key)
        if any(_contains(start, end, key) for start, end in self.deletions):
            raise _ModifiedTwice(key)
        self.puts.add(key)


def duplicate_key(request: pb.TxnRequest) -> bytes | None:
    """Return the first key that one branch would modify twice; None if there is none."""
    try:
        _changes(request.success)
        _changes(request.failure)
    except _ModifiedTwice as found:
        return found.key
    return None


def _changes(branch: Iterable[pb.RequestOp]) -> _Changes:
    branch = list(branch)
    made = _Changes()
    for op in branch:
        if op.WhichOneof("request") == "request_delete_range":
            deletion = op.request_delete_range
            made.deletions.append((deletion.key, deletion.range_end))
    for op in branch:
        if op.WhichOneof("request") == "request_txn":
            success = _changes(op.request_txn.success)
            failure = _changes(op.request_txn.failure)
            for key in sorted(success.puts):
                made.put(key)
            for key in sorted(failure.puts):
                made.put(key, allowed=success.puts)
            made.deletions += success.deletions + failure.deletions
    for op in branch:
        if op.WhichOneof("request") == "request_put":
            made.put(op.request_put.key)
    return made


def _contains(start: bytes, end: bytes, key: bytes) -> bool:
    return start <= key < end if end else key == start
