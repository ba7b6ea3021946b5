"""`Barrier` and `DoubleBarrier` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from types import TracebackType

import etcd_client
from etcd_client import LeaseLike
from etcd_sync._handle import Handle, Service, inner_of
from etcd_sync.session import Session

__all__ = ["Barrier", "DoubleBarrier"]


class Barrier(Handle):
    """Makes others wait while a key exists.

    The key is `name` itself, as of `Barrier` in the recipes of etcd's Go client, so both exclude
    each other. It is created by `hold` and deleted by `release`, by any client.

    Guaranteed: `wait` returns True only if the key did not exist at some moment after the call. Not
    guaranteed: that the barrier is still open when `wait` has returned; one that is released and
    held again at once lets those pass that waited.
    """

    _inner: etcd_client.Barrier

    def __init__(self, client: Service, name: bytes) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal, client._portal.call(etcd_client.Barrier, inner_client, name)
        )

    @property
    def name(self) -> bytes:
        return self._inner.name

    def hold(self, lease: LeaseLike | None = None, *, timeout: float | None = None) -> bool:
        """Close the barrier; return False if it was closed already.

        With a `lease` it opens when the lease ends; without, it stays closed until `release`.
        `timeout` is the number of seconds that the call may take. After an interruption, or an
        error that is not `definite`, it may have been closed.
        """
        return self._portal.run(self._inner.hold, lease, timeout=timeout)

    def release(self, *, timeout: float | None = None) -> bool:
        """Open the barrier; return False if it was open.

        `timeout` is the number of seconds that the call may take.
        """
        return self._portal.run(self._inner.release, timeout=timeout)

    def is_held(self, *, timeout: float | None = None) -> bool:
        """Ask etcd whether the barrier is closed."""
        return self._portal.run(self._inner.is_held, timeout=timeout)

    def wait(self, *, timeout: float | None = None) -> bool:
        """Wait until the barrier is open; return False if that took longer than `timeout` seconds.

        None sets no limit, 0 does not wait. It survives breaks of the connection and leaves no
        watch behind, also when it is interrupted.
        """
        return self._portal.run(self._inner.wait, timeout=timeout)


class DoubleBarrier(Handle):
    """Lets `count` sessions begin together, and end together.

    `with` enters and leaves; `timeout` is the number of seconds for the entering, None without
    limit, and `LockTimeoutError` is raised after that. All users must give the same `count`, 127 at
    most, or those who come later get a `PreconditionFailedError`. More than `count` form the next
    round: they enter when all of this round have left.

    Each has a key `<name>/waiters/<lease id>` with the lease of its session. When there are enough,
    `<name>/ready` is put with the create revision of the last one that belongs to the round, in a
    transaction that compares them all. The last one that leaves deletes it. It has no lease: if the
    last ones of a round lose their sessions, or etcd cannot be reached when they leave, it stays
    until the next one enters, which it does not hinder.

    Guaranteed: `enter` returns True only after `count` sessions were there at one moment, and
    `leave` returns True only after all of the round have left or lost their sessions. A session
    that ends does not block the others for longer than its time to live. Not guaranteed: that the
    others are still alive while the body runs; `lost` tells a session of its own loss only.
    """

    _inner: etcd_client.DoubleBarrier

    def __init__(
        self, session: Session, name: bytes, count: int, *, timeout: float | None = None
    ) -> None:
        inner_session = inner_of("session", session, Session)
        super().__init__(
            session._portal,
            session._portal.call(
                etcd_client.DoubleBarrier, inner_session, name, count, timeout=timeout
            ),
        )

    @property
    def name(self) -> bytes:
        return self._inner.name

    @property
    def count(self) -> int:
        return self._inner.count

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    @property
    def session(self) -> Session:
        return Session._of(self._portal, self._inner.session)

    def enter(self, *, timeout: float | None = None) -> bool:
        """Wait until `count` sessions are here; return False after `timeout` seconds.

        None sets no limit, 0 does not wait for others. If it returns False, raises or is
        interrupted, this session is not here any more. Raises `LockLostError` if the session is
        lost.
        """
        return self._portal.run(self._inner.enter, timeout=timeout)

    def leave(self, *, timeout: float | None = None) -> bool:
        """Wait until all of the round have left; return False after `timeout` seconds.

        None sets no limit, 0 does not wait. This session leaves in any case, also if it is
        interrupted. Raises `ValueError` if it has not entered.
        """
        return self._portal.run(self._inner.leave, timeout=timeout)

    def __enter__(self) -> DoubleBarrier:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave, and wait for the others; after an error of the body it does not wait."""
        self._portal.exit(self._inner, kind, error, trace)
