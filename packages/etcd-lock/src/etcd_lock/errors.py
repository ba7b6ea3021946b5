"""What only locks and elections raise."""

from __future__ import annotations

from etcd_channel import ClientError

__all__ = ["LockLostError", "LockTimeoutError", "NotLeaderOfElectionError"]


class LockTimeoutError(ClientError):
    """A lock that an `async with` waited for was not to be had in time; its body did not run."""


class LockLostError(ClientError):
    """A lock was lost while its holder worked: its lease ended, whatever the reason."""


class NotLeaderOfElectionError(ClientError):
    """The candidate does not lead, or not any more."""
