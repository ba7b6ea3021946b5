"""`Permit` and `Semaphore` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from types import TracebackType
from typing import Literal

import etcd_client
from etcd_client import Compare, SemaphoreUsage
from etcd_lock.default_timeout import DefaultTimeout
from etcd_sync._handle import Handle, inner_of, refuse_cancel_on_loss
from etcd_sync.loss import LockLoss
from etcd_sync.session import Session

__all__ = ["Permit", "Semaphore"]

_DEFAULT_TIMEOUT = DefaultTimeout("<the lock's timeout>")
_DEFAULT_TIMEOUT_OF_SEMAPHORE = DefaultTimeout("<the semaphore's timeout>")


class Permit(Handle):
    """A permit of a semaphore, made by `Semaphore.permit`.

    Its methods and its loss are those of `Mutex`. The `fencing_token` is different for each holder,
    and higher than that of everyone who asked earlier.
    """

    _inner: etcd_client.Permit

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    @property
    def key(self) -> bytes:
        """The key of this session's entry in the queue."""
        return self._inner.key

    @property
    def fencing_token(self) -> int | None:
        """The create revision of the key, higher than that of every earlier holder.

        None while it is not held.
        """
        return self._inner.fencing_token

    @property
    def lost(self) -> LockLoss:
        """The loss, for which `lost.wait()` waits; see `Lock.lost`.

        Raises `ValueError` while it is not held.
        """
        return LockLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def ownership(self) -> Compare:
        """Return a compare that succeeds while this session holds it.

        Add it to the transactions that must be protected: one that arrives after the loss changes
        nothing. Raises `ValueError` while it is not held.
        """
        return self._inner.ownership()

    def acquire(self, timeout: float | None = _DEFAULT_TIMEOUT) -> bool:
        """Acquire the lock; return False if that took longer than `timeout` seconds.

        Without the argument, the `timeout` that the lock was made with applies. None sets no limit,
        0 does not wait. If it returns False, raises or is interrupted, nothing is left in the
        queue. Threads that share a session acquire it in the order of their calls. Raises
        `LockLostError` if the session ends, or the key is deleted, while it waits.
        """
        return self._portal.run(self._inner.acquire, timeout)

    def is_acquired(self) -> bool:
        """Ask etcd whether the lock is held; False without a call if the session is known lost."""
        return self._portal.run(self._inner.is_acquired)

    def release(self) -> bool:
        """Release the lock; return whether it was still held. False if it was not acquired.

        An interruption is raised after the lock was released. After a `ClientError` the lock counts
        as released in this process; in etcd its key is deleted in the background as soon as etcd
        answers, or with the lease.
        """
        return self._portal.run(self._inner.release)

    def __enter__(self) -> Permit:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)


class Semaphore(Handle):
    """Makes permits, of which at most `permits` are held at the same time.

    It is fair: permits are given in the order of the calls. `name` is the beginning of the keys.

    All users of a semaphore must agree on `permits`. The number is part of each key, and etcd
    compares it when a permit is asked for: while there are holders or waiters with another number,
    `acquire` and `usage` raise `PreconditionFailedError`, which names both numbers, and nothing is
    left in etcd. When the last of them has left, another number may be used.

    `timeout` is the number of seconds to wait for a permit, None without limit, and
    `cancel_on_loss` must be False; see `Mutex`. Any number of threads may use one object, each with
    a permit of its own.

    Acquiring a free permit takes one round trip, and so does releasing it.
    """

    _inner: etcd_client.Semaphore

    def __init__(
        self,
        session: Session,
        name: bytes,
        permits: int,
        *,
        cancel_on_loss: Literal[False] = False,
        timeout: float | None = None,
    ) -> None:
        inner_session = inner_of("session", session, Session)
        refuse_cancel_on_loss(cancel_on_loss)
        super().__init__(
            session._portal,
            session._portal.call(
                etcd_client.Semaphore,
                inner_session,
                name,
                permits,
                cancel_on_loss=False,
                timeout=timeout,
            ),
        )

    @property
    def session(self) -> Session:
        return Session._of(self._portal, self._inner.session)

    @property
    def name(self) -> bytes:
        return self._inner.name

    @property
    def permits(self) -> int:
        return self._inner.permits

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    def permit(self, *, timeout: float | None = _DEFAULT_TIMEOUT_OF_SEMAPHORE) -> Permit:
        """Make a permit; nothing is sent before it is acquired.

        Without the argument, the `timeout` of the semaphore applies.
        """
        return Permit._of(self._portal, self._portal.call(self._inner.permit, timeout=timeout))

    def usage(self) -> SemaphoreUsage:
        """Count the holders and the waiters, in one round trip.

        Raises `PreconditionFailedError` if they use another number of permits.
        """
        return self._portal.run(self._inner.usage)
