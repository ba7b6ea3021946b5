"""A fair counting semaphore: a permit is a place in a queue."""

from __future__ import annotations

from dataclasses import dataclass

from etcd_channel import ClientError, NonCopyable, PreconditionFailedError, prefix_range_end
from etcd_channel.arguments import check_flag, check_int, check_key, check_wait
from etcd_kv import GetRange
from etcd_lock._check_session import check_session
from etcd_lock._numbered_entry import numbered_entry
from etcd_lock._queued_lock import QueuedLock
from etcd_lock._refusal import Refusal
from etcd_lock.default_timeout import DefaultTimeout, seconds_to_wait
from etcd_lock.session import Session

__all__ = ["Permit", "Semaphore", "SemaphoreUsage"]

_DEFAULT_TIMEOUT = DefaultTimeout("<the semaphore's timeout>")


@dataclass(frozen=True, slots=True)
class SemaphoreUsage:
    """How many hold a permit of a semaphore, and how many wait for one, at one revision."""

    permits: int
    """How many may hold one at the same time."""
    holders: int
    waiters: int
    revision: int
    """The revision of etcd's store at which they were counted."""


class Permit(QueuedLock):
    """A permit of a semaphore, made by `Semaphore.permit`.

    Its methods and its loss are those of `Mutex`. The `fencing_token` is different for each holder,
    and higher than that of everyone who asked earlier.
    """

    def __init__(
        self, semaphore: Semaphore, *, cancel_on_loss: bool, timeout: float | None
    ) -> None:
        entry = numbered_entry(semaphore.session, semaphore._queue, places=semaphore.permits)
        entry._refusal = semaphore._refusal()
        super().__init__(
            entry,
            semaphore.name,
            "a permit of the semaphore",
            cancel_on_loss=cancel_on_loss,
            timeout=timeout,
        )


class Semaphore(NonCopyable):
    """Makes permits, of which at most `permits` are held at the same time.

    It is fair: permits are given in the order of the calls. `name` is the beginning of the keys.

    All users of a semaphore must agree on `permits`. The number is part of each key, and etcd
    compares it when a permit is asked for: while there are holders or waiters with another number,
    `acquire` and `usage` raise `PreconditionFailedError`, which names both numbers, and nothing is
    left in etcd. When the last of them has left, another number may be used.

    `timeout` is the number of seconds to wait for a permit, None without limit, and
    `cancel_on_loss` cancels the body of `async with` when its permit is lost; see `Mutex`. Any
    number of tasks may use one object, each with a permit of its own.

    Acquiring a free permit takes one round trip, and so does releasing it.
    """

    def __init__(
        self,
        session: Session,
        name: bytes,
        permits: int,
        *,
        cancel_on_loss: bool = False,
        timeout: float | None = None,
    ) -> None:
        self.session = check_session(session)
        self.name = check_key("name", name)
        self.permits = check_int("permits", permits, minimum=1)
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self.timeout = check_wait("timeout", timeout)
        self._all = self.name + b"/permits-"
        self._queue = self._all + b"%d/" % self.permits

    def permit(self, *, timeout: float | None = _DEFAULT_TIMEOUT) -> Permit:
        """Make a permit; nothing is sent before it is acquired.

        Without the argument, the `timeout` of the semaphore applies.
        """
        wait = seconds_to_wait(timeout, self.timeout)
        return Permit(self, cancel_on_loss=self.cancel_on_loss, timeout=wait)

    async def usage(self) -> SemaphoreUsage:
        """Count the holders and the waiters, in one round trip.

        Raises `PreconditionFailedError` if they use another number of permits.
        """
        found = await self.session._services.kv.get_prefix(self._all, keys_only=True, limit=1)
        if found and not found[0].key.startswith(self._queue):
            raise self._disagreement([found])
        holders = min(found.count, self.permits)
        return SemaphoreUsage(self.permits, holders, found.count - holders, found.header.revision)

    def _refusal(self) -> Refusal:
        """Refuse a permit while there are keys with another number of permits."""
        txn = self.session._services.kv.transactions
        others = [
            (self._all, self._queue),
            (prefix_range_end(self._queue), prefix_range_end(self._all)),
        ]
        return Refusal(
            [txn.create(start, end) == 0 for start, end in others],
            [txn.get(start, end, limit=1, keys_only=True) for start, end in others],
            self._disagreement,
        )

    def _disagreement(self, found: list[GetRange]) -> ClientError:
        other = next((each[0].key for each in found if len(each)), None)
        theirs = "another number" if other is None else other[len(self._all) :].split(b"/")[0]
        if isinstance(theirs, bytes):
            theirs = theirs.decode(errors="replace")
        return PreconditionFailedError(
            f"the semaphore {self.name!r} is in use with {theirs} permits, not {self.permits}:"
            " all users must agree"
        )

    def __repr__(self) -> str:
        return f"Semaphore(name={self.name!r}, permits={self.permits})"
