"""`MultiLock` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Literal

import etcd_client
from etcd_client import Compare
from etcd_lock.default_timeout import DefaultTimeout
from etcd_sync._handle import Handle, inner_of, refuse_cancel_on_loss
from etcd_sync.loss import LockLoss
from etcd_sync.session import Session

__all__ = ["MultiLock"]

_DEFAULT_TIMEOUT = DefaultTimeout("<the lock's timeout>")


class MultiLock(Handle):
    """Several mutexes that are acquired together: all of them or none.

    It excludes the `Mutex`es, the `MultiLock`s, Go's `concurrency.Mutex` and `etcdctl lock` of each
    of its `names`, which may be given in any order, at most 64 of them. Its keys are put by one
    transaction, so it has the same place in all queues: two multi-locks never wait for each other.
    It is fair: of several contenders for a name the one that asked first holds it first.

    `timeout` is the number of seconds to wait for all of them, None without limit. If the time is
    over, or the thread is interrupted while it waits, nothing is left in any queue. While it waits
    for one name it already keeps later contenders from the others.

    It is lost when `session` is lost or is closed by another thread, or when one of its keys is
    deleted. A loss, `lost` and `fencing_token` work as described for `Mutex`.

    Acquiring a free multi-lock takes one round trip, and so does releasing it.
    """

    _inner: etcd_client.MultiLock

    def __init__(
        self,
        session: Session,
        names: Iterable[bytes],
        *,
        cancel_on_loss: Literal[False] = False,
        timeout: float | None = None,
    ) -> None:
        inner_session = inner_of("session", session, Session)
        refuse_cancel_on_loss(cancel_on_loss)
        super().__init__(
            session._portal,
            session._portal.call(
                etcd_client.MultiLock, inner_session, names, cancel_on_loss=False, timeout=timeout
            ),
        )

    @property
    def session(self) -> Session:
        return Session._of(self._portal, self._inner.session)

    @property
    def names(self) -> Iterable[bytes]:
        """The names in their order, as a tuple."""
        return self._inner.names

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys in etcd while it is held, in the order of `names`; empty while it is not."""
        return self._inner.keys

    @property
    def fencing_token(self) -> int | None:
        """The create revision of its keys, higher than that of every earlier holder of each name.

        None while it is not held.
        """
        return self._inner.fencing_token

    @property
    def lost(self) -> LockLoss:
        """The loss, for which `lost.wait()` waits; see `Lock.lost`.

        The error is about the first key that was lost. Raises `ValueError` while it is not held.
        """
        return LockLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def ownership(self) -> list[Compare]:
        """Return the compares that succeed while this session holds all the names, one for each.

        Add them to the transactions that must be protected. Raises `ValueError` while it is not
        held.
        """
        return self._inner.ownership()

    def acquire(self, timeout: float | None = _DEFAULT_TIMEOUT) -> bool:
        """Acquire all the names; return False if that took longer than `timeout` seconds.

        Without the argument, the `timeout` that the lock was made with applies. None sets no limit,
        0 does not wait. If it returns False, raises or is interrupted, nothing is left in any
        queue. Threads that share the object acquire it in the order of their calls. Raises
        `LockLostError` if the session ends, or a key is deleted, while it waits.
        """
        return self._portal.run(self._inner.acquire, timeout)

    def is_acquired(self) -> bool:
        """Ask etcd whether all are held; False without a call if the session is known lost."""
        return self._portal.run(self._inner.is_acquired)

    def release(self) -> bool:
        """Release all the names; return whether all were still held. False if it was not acquired.

        An interruption is raised after they were released. After a `ClientError` they count as
        released in this process; in etcd a key that is left is deleted in the background as soon as
        etcd answers, or with the lease.
        """
        return self._portal.run(self._inner.release)

    def __enter__(self) -> MultiLock:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)
