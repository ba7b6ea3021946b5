"""The errors that only locks and elections raise."""

from __future__ import annotations

from typing import Any

from etcd_channel import ClientError

__all__ = ["LockLostError", "LockTimeoutError", "NotLeaderOfElectionError"]


class LockTimeoutError(ClientError, TimeoutError):
    """An `async with` could not acquire its lock in time; the body did not run."""


class LockLostError(ClientError):
    """A lock, or an entry of a queue, was lost: its lease ended, or its key was deleted.

    `key` is its key, None if it had none yet; `lease_id` is the id of its lease. If the lease is
    lost, the `__cause__` is its `LeaseExpiredError`.
    """

    def __init__(
        self, message: str = "", *, key: bytes | None = None, lease_id: int = 0, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.key = key
        self.lease_id = lease_id


class NotLeaderOfElectionError(ClientError):
    """The candidate does not lead, or no longer leads."""
