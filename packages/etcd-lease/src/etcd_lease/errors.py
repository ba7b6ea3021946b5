"""What only leases raise."""

from __future__ import annotations

from typing import Any

from etcd_channel.errors import LeaseNotFoundError

__all__ = ["LeaseExpiredError"]


class LeaseExpiredError(LeaseNotFoundError):
    """A lease that was held is lost: gone, or no longer sure to be there.

    `lease_id` is its id. Where something went wrong first (the channel was closed, the
    server refused the keep-alives), that is the `__cause__`.
    """

    def __init__(self, message: str = "", *, lease_id: int = 0, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.lease_id = lease_id
