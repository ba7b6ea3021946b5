"""The errors of this package that are not in etcd_channel.errors."""

from __future__ import annotations

from etcd_channel.errors import DataLossError

__all__ = ["SnapshotDamagedError"]


class SnapshotDamagedError(DataLossError):
    """The received snapshot is incomplete or damaged.

    Its end is missing, or the checksum at its end does not match its bytes.
    """
