"""What a client knows of the life of one lease; no I/O."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from etcd_channel import ClientClosedError
from etcd_lease.errors import LeaseExpiredError

__all__ = ["Ending", "Life"]

_log = logging.getLogger("etcd_lease")


@dataclass(frozen=True)
class Ending:
    """Why a lease is lost."""

    words: str
    cause: BaseException | None = None
    gone: bool = False
    """Whether the server said so: then there is nothing to revoke."""
    wanted: bool = False
    """Whether this client revoked it."""


class Life:
    """Until when a lease surely lives, or why it is lost; shared by all who speak of it.

    The server counts the time to live from when it got the last request to grant or renew
    the lease. That was after the request was sent, so what this clock counts from the
    sending runs out first: while the lease is not lost here, the server has it. The clock
    is asked each time, and what is lost stays lost: an answer that comes later changes
    nothing any more.
    """

    __slots__ = ("__weakref__", "_ending", "_watchers", "deadline", "id", "kept", "since", "ttl")

    def __init__(self, lease_id: int, ttl: int, since: float) -> None:
        self.id = lease_id
        self.ttl = ttl
        self.since = since
        """When it began to be known; what was asked before concerns an earlier lease."""
        self.deadline = math.inf
        """Until when it surely lives; infinite while nobody has said that it does."""
        self.kept = False
        """Whether it is to be kept alive."""
        self._ending: Ending | None = None
        self._watchers: set[Callable[[], None]] = set()

    @property
    def confirmed(self) -> bool:
        """Whether the server ever said that it lives."""
        return self.deadline < math.inf

    def lost(self, now: float) -> Ending | None:
        """Why it is lost, or None while it is not."""
        if self._ending is None and now >= self.deadline:
            words = f"no renewal was acknowledged for its time to live of {self.ttl} s"
            self.lose(Ending(words))
        return self._ending

    def renewed(self, sent: float, ttl: int, now: float) -> bool:
        """Take an answer to what was sent at `sent`; say whether it came in time."""
        if self.lost(now) is not None:
            return False
        self.ttl = ttl
        if self.confirmed:
            self.deadline = max(self.deadline, sent + ttl)
        else:
            self.deadline = sent + ttl
            self._changed()
        return self.lost(now) is None

    def lose(self, ending: Ending) -> None:
        """Take note that it is lost; the first reason stays."""
        if self._ending is not None:
            return
        self._ending = ending
        if self.kept and not ending.wanted:
            expected = isinstance(ending.cause, ClientClosedError)
            level = logging.DEBUG if expected else logging.WARNING
            _log.log(level, "the lease %d is lost: %s", self.id, ending.words)
        self._changed()

    def remaining(self, now: float) -> float:
        """The seconds for which it surely lives."""
        if self.lost(now) is not None or not self.confirmed:
            return 0.0
        return self.deadline - now

    def error(self, ending: Ending) -> LeaseExpiredError:
        """Make the error that says why it is lost."""
        error = LeaseExpiredError(f"the lease {self.id} is lost: {ending.words}", lease_id=self.id)
        error.__cause__ = ending.cause
        return error

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` when it is lost, and when it is known for the first time to live."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        self._watchers.discard(watcher)

    def _changed(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()
