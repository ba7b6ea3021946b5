"""A snapshot's way from the server to a file, checked while it passes.

The stream is the database file, in pages of 512 bytes at least, and after it the SHA-256
of all that (etcd's server/etcdserver/api/v3rpc/maintenance.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from etcd_channel import Record
from etcd_cluster.errors import SnapshotDamagedError
from etcd_cluster.pb import maintenance_pb2 as pb

__all__ = ["Progress", "Snapshot", "SnapshotCheck"]

Progress = Callable[[int, int], object]
"""Is told the bytes so far, and how many there will be."""

_PAGE: Final = 512
_TRAILER: Final = 32


class Snapshot(Record):
    """A snapshot that was taken, and found whole."""

    __slots__ = _fields = ("size", "sha256", "version")

    size: int
    """Its bytes, the checksum at its end included."""
    sha256: str
    """The checksum of the database in it, as its last 32 bytes say it, in hexadecimal."""
    version: str | None
    """The version of etcd that wrote it; None before etcd 3.6."""

    def __init__(self, size: int, sha256: str, version: str | None = None) -> None:
        self.size = size
        self.sha256 = sha256
        self.version = version


class SnapshotCheck:
    """Follows a snapshot message by message; holds no more of it than its last 32 bytes."""

    def __init__(self) -> None:
        self.done = 0
        """The bytes so far."""
        self.total = 0
        """How many there will be, as far as the server said; 0 before the first."""
        self._version = ""
        self._sum = hashlib.sha256()
        self._held = b""

    def add(self, message: pb.SnapshotResponse) -> bytes:
        """Take the next message, and return the bytes in it."""
        blob = message.blob
        if not self.total:
            # The server counts the database alone.
            self.total = len(blob) + message.remaining_bytes + _TRAILER
        self.done += len(blob)
        self._version = message.version or self._version
        # What may be the checksum is not part of what it is of.
        if len(blob) >= _TRAILER:
            self._sum.update(self._held)
            self._sum.update(memoryview(blob)[:-_TRAILER])
            self._held = blob[-_TRAILER:]
        else:
            held = self._held + blob
            self._sum.update(held[:-_TRAILER])
            self._held = held[-_TRAILER:]
        return blob

    def finish(self) -> Snapshot:
        """Say what was taken, or raise `SnapshotDamagedError`."""
        sound = self._sum.digest() == self._held
        if not sound and self.done < max(self.total, 1):
            raise SnapshotDamagedError(
                f"the snapshot ended early: {self.done} of {self.total} bytes came"
            )
        if not sound:
            raise SnapshotDamagedError(
                f"the snapshot was damaged on its way: the SHA-256 of its {self.done} bytes is"
                f" {self._sum.hexdigest()}, but should be {self._held.hex()}"
            )
        if self.done % _PAGE != _TRAILER:
            raise SnapshotDamagedError(
                f"the snapshot has {self.done} bytes: that is no database with a checksum"
            )
        return Snapshot(self.done, self._held.hex(), self._version or None)
