"""The errors that only leases raise."""

from __future__ import annotations

from typing import Any

from etcd_channel.errors import LeaseNotFoundError

__all__ = ["LeaseExpiredError"]


class LeaseExpiredError(LeaseNotFoundError):
    """A lease is lost: the server no longer has it, or may no longer have it.

    `lease_id` is its id. The error that caused the loss, if there is one (the channel was
    closed, the server refused the keep-alives), is the `__cause__`.
    """

    def __init__(self, message: str = "", *, lease_id: int = 0, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.lease_id = lease_id
