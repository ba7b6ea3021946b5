"""Verifies a snapshot while it is received.

The stream contains the database file, in pages of at least 512 bytes, and then the SHA-256 of the
file (etcd's server/etcdserver/api/v3rpc/maintenance.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from etcd_cluster.errors import SnapshotDamagedError
from etcd_cluster.pb import maintenance_pb2 as pb

__all__ = ["Progress", "Snapshot", "SnapshotCheck"]

Progress = Callable[[int, int], object]
"""Called with the number of bytes so far and the total."""

_PAGE: Final = 512
_TRAILER: Final = 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was saved, and whose checksum was verified."""

    size: int
    """Its size in bytes, including the checksum at its end."""
    sha256: str
    """The SHA-256 of the database, which is stored in the last 32 bytes, in hexadecimal."""
    version: str | None = None
    """The version of etcd that wrote it; None before etcd 3.6."""


class SnapshotCheck:
    """Verifies a snapshot message by message; keeps only its last 32 bytes in memory."""

    def __init__(self) -> None:
        self.done = 0
        """The number of bytes so far."""
        self.total = 0
        """The total that the server announced; 0 before the first message."""
        self._version = ""
        self._sum = hashlib.sha256()
        self._held = b""

    def __repr__(self) -> str:
        return f"SnapshotCheck(done={self.done}, total={self.total})"

    def add(self, message: pb.SnapshotResponse) -> bytes:
        """Add the next message, and return the bytes in it."""
        blob = message.blob
        if not self.total:
            # The server counts only the database.
            self.total = len(blob) + message.remaining_bytes + _TRAILER
        self.done += len(blob)
        self._version = message.version or self._version
        # The last 32 bytes may be the checksum, which is not part of the hashed data.
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
        """Return the snapshot; raise `SnapshotDamagedError` if it is damaged or incomplete."""
        matches = self._sum.digest() == self._held
        if not matches and self.done < max(self.total, 1):
            raise SnapshotDamagedError(
                f"the snapshot ended early: {self.done} of {self.total} bytes were received"
            )
        if not matches:
            raise SnapshotDamagedError(
                f"the snapshot was damaged in transit: the SHA-256 of its {self.done} bytes is"
                f" {self._sum.hexdigest()}, but should be {self._held.hex()}"
            )
        if self.done % _PAGE != _TRAILER:
            raise SnapshotDamagedError(
                f"the snapshot has {self.done} bytes: not whole pages and a checksum"
            )
        return Snapshot(self.done, self._held.hex(), self._version or None)
