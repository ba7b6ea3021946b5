"""The errors that only the recipes raise."""

from __future__ import annotations

from typing import Any

from etcd_channel import ClientError

__all__ = ["ClaimLostError", "CounterTimeoutError"]


class ClaimLostError(ClientError):
    """The claim on a job is lost: its session ended, or its key was deleted; others may have it.

    `job_id` is the id of the job, `lease_id` that of the session's lease.
    """

    def __init__(
        self, message: str = "", *, job_id: bytes = b"", lease_id: int = 0, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.job_id = job_id
        self.lease_id = lease_id


class CounterTimeoutError(ClientError, TimeoutError):
    """A counter could not be changed in time because others changed it; nothing was changed."""
