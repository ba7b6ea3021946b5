"""What this package raises itself, beyond the errors of the channel."""

from __future__ import annotations

from etcd_channel.errors import DataLossError

__all__ = ["SnapshotDamagedError"]


class SnapshotDamagedError(DataLossError):
    """What was received is not the snapshot that the server made.

    Its end is missing, or its bytes do not fit the checksum at its end.
    """
