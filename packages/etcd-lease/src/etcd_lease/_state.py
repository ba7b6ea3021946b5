"""The state of one lease in this client; no I/O."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from etcd_channel import ClientClosedError
from etcd_lease.blocks import LossNotices
from etcd_lease.errors import LeaseExpiredError

__all__ = ["GONE", "LeaseState", "LossReason"]

_log = logging.getLogger("etcd_lease")


@dataclass(frozen=True)
class LossReason:
    """Why a lease is lost."""

    message: str
    cause: BaseException | None = None
    gone: bool = False
    """Whether the server has no such lease: there is nothing to revoke."""
    revoked: bool = False
    """Whether this client revoked it."""


GONE = LossReason("the server no longer has it: it expired, or was revoked", gone=True)


class LeaseState:
    """The deadline of a lease, or the reason for its loss; shared by all `Lease`s of its id.

    The server counts the time to live from when it received the last request to grant or renew
    the lease. This client counts from when it sent that request, so the lease ends here first:
    while it is not lost here, the server has it. The clock is read at each access. A lost lease
    stays lost: later answers are ignored.
    """

    __slots__ = (
        *("__weakref__", "_reason", "_listeners", "deadline"),
        *("id", "created_at", "granted_again", "kept_alive", "notices", "ttl"),
    )

    def __init__(self, lease_id: int, ttl: int, created_at: float) -> None:
        self.id = lease_id
        self.ttl = ttl
        self.created_at = created_at
        """When this state was created; answers to earlier requests are about an earlier lease."""
        self.deadline = math.inf
        """Until when the server is certain to have it; infinite before its first answer."""
        self.kept_alive = False
        """Whether it is kept alive."""
        self.granted_again = False
        """Whether its id was granted again: the lease on the server is another one."""
        self.notices = LossNotices()
        """The tasks that were notified of its loss."""
        self._reason: LossReason | None = None
        self._listeners: set[Callable[[], None]] = set()

    @property
    def confirmed(self) -> bool:
        """Whether the server has ever confirmed that it has the lease."""
        return self.deadline < math.inf

    def lost(self, now: float) -> LossReason | None:
        """Return the reason for its loss; None while it is not lost."""
        if self._reason is None and now >= self.deadline:
            message = f"no renewal was acknowledged for its time to live of {self.ttl} s"
            self.lose(LossReason(message))
        return self._reason

    def renewed(self, sent: float, ttl: int, now: float) -> bool:
        """Record the answer to a request sent at `sent`; return whether it arrived in time."""
        if self.lost(now) is not None:
            return False
        self.ttl = ttl
        deadline = sent + ttl
        if self.deadline == math.inf:
            self.deadline = deadline
            self._changed()
        elif self.deadline < deadline:
            self.deadline = deadline
        return now < self.deadline or self.lost(now) is None

    def lose(self, reason: LossReason) -> None:
        """Mark the lease as lost; only the first reason is kept."""
        if self._reason is not None:
            return
        self._reason = reason
        if self.kept_alive and not reason.revoked:
            expected = isinstance(reason.cause, ClientClosedError)
            self.log(reason, logging.DEBUG if expected else logging.WARNING)
        self._changed()

    def log(self, reason: LossReason, level: int = logging.WARNING) -> None:
        """Log the loss and its reason."""
        _log.log(level, "the lease %d is lost: %s", self.id, reason.message)

    def remaining(self, now: float) -> float:
        """Return the seconds for which the server is certain to have the lease."""
        if self.lost(now) is not None or not self.confirmed:
            return 0.0
        return self.deadline - now

    def error(self, reason: LossReason) -> LeaseExpiredError:
        """Return the error for the loss."""
        error = LeaseExpiredError(
            f"the lease {self.id} is lost: {reason.message}", lease_id=self.id
        )
        error.__cause__ = reason.cause
        return error

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the lease is lost, and when it is confirmed for the first time."""
        self._listeners.add(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        self._listeners.discard(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()
