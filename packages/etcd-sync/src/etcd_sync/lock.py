"""`Lock` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from types import TracebackType
from typing import Literal

import etcd_client
from etcd_client import Compare, LeaseRefresh
from etcd_lock.default_timeout import DefaultTimeout
from etcd_sync._handle import Handle, Service, inner_of, refuse_cancel_on_loss
from etcd_sync.lease import Lease
from etcd_sync.loss import LockLoss

__all__ = ["Lock"]

_DEFAULT_TIMEOUT = DefaultTimeout("10", 10)


class Lock(Handle):
    r"""A lock on a key, which excludes every other `Lock` on the key, and aetcd's lock.

    The key exists while the lock is held, with a lease of `ttl` seconds: the lock ends with the
    lease if it is not refreshed. `keep_alive` refreshes it while the lock is held. `client` is any
    client.

    `timeout` is the number of seconds to wait for the lock, on entering and in an `acquire` without
    an argument; None sets no limit.

    It is a context manager: entering it acquires the lock or raises `LockTimeoutError`, so the body
    never runs without the lock. The lock is lost when its lease is lost or its key is deleted, but
    not when the body itself releases it or revokes its lease. Then `LockLostError` is raised at the
    end of the block, unless the body was notified: `lost.wait` has returned the error, or a method
    has raised one for the loss. An error of the body is raised instead, with the loss at the end of
    its chain of `__context__`s. `cancel_on_loss` must be False: the body of a `with` cannot be
    interrupted; it can call `is_acquired`.

    No lock over a network excludes with certainty: a holder that is stopped for longer than `ttl`
    does not detect the loss until it resumes. Guard changes that must not happen twice by a
    transaction that compares `ownership()`, or pass `fencing_token` to the system that is changed,
    which must refuse a token lower than one it has seen.

    Acquiring a free lock takes two round trips, one for its lease and one for its key; releasing it
    takes two as well. Each client that waits for a held lock has a key of its own,
    `<key>\0waiting/<lease id>`, until it has released the lock, so that a release wakes one of
    them. If the user has no permission for these keys, acquiring takes a third round trip, the
    clients wait without them, and a release wakes all.

    It is not reentrant: a second `acquire` on a lock that is held waits like any other contender,
    and does not change the lock that is held.
    """

    _inner: etcd_client.Lock

    def __init__(
        self,
        client: Service,
        key: bytes,
        ttl: int,
        *,
        keep_alive: bool = False,
        cancel_on_loss: Literal[False] = False,
        timeout: float | None = 10,
    ) -> None:
        inner_client = inner_of("client", client, Service)
        refuse_cancel_on_loss(cancel_on_loss)
        super().__init__(
            client._portal,
            client._portal.call(
                etcd_client.Lock,
                inner_client,
                key,
                ttl,
                keep_alive=keep_alive,
                cancel_on_loss=False,
                timeout=timeout,
            ),
        )

    @property
    def lease(self) -> Lease | None:
        """The lease of the lock while it is held; else None."""
        return Lease._of_optional(self._portal, self._inner.lease)

    @property
    def fencing_token(self) -> int | None:
        """The revision at which the lock was acquired, higher than that of every earlier holder;
        None while it is not held.
        """
        return self._inner.fencing_token

    @property
    def key(self) -> bytes:
        return self._inner.key

    @property
    def ttl(self) -> int:
        return self._inner.ttl

    @property
    def keep_alive(self) -> bool:
        return self._inner.keep_alive

    @property
    def timeout(self) -> float | None:
        return self._inner.timeout

    @property
    def uuid(self) -> bytes:
        """The value of the key while this lock is held."""
        return self._inner.uuid

    def acquire(self, timeout: float | None = _DEFAULT_TIMEOUT) -> bool:
        """Acquire the lock; return False if another client held it for `timeout` seconds.

        Without the argument, the `timeout` that the lock was made with applies, 10 s by default.
        None sets no limit; 0 or less tries once. The calls to etcd have the client's timeout, which
        is not counted here. Threads that share a client acquire the lock in the order of their
        calls. Those that wait on different clients mostly do too, but there is no guarantee:
        whoever tries while the lock is free acquires it. A client that waits behind others tries
        every 15 seconds, and when its time is over, even if it is not woken: the one that was woken
        may be dead. That last try may take as long as a call may. If it returns False, raises a
        `ClientError` or is interrupted, no key and no lease is left.
        """
        return self._portal.run(self._inner.acquire, timeout)

    def is_acquired(self) -> bool:
        """Ask etcd whether this lock is held; False without a call if its lease is known lost."""
        return self._portal.run(self._inner.is_acquired)

    def refresh(self) -> LeaseRefresh:
        """Renew the lock: its `ttl` starts again.

        Raises `LeaseExpiredError` if its lease is lost, `ValueError` if it is not acquired.
        """
        return self._portal.run(self._inner.refresh)

    @property
    def lost(self) -> LockLoss:
        """The loss of the lock, for which `lost.wait()` waits; `is_acquired` asks without waiting.

        `wait` returns, and does not raise, the `LockLostError` with the reason: the lease is lost,
        the key was deleted, or the program released the lock. The key is watched meanwhile. Any
        number of threads may wait. Once it has returned the error, the end of the block does not
        raise the loss again. Raises `ValueError` if the lock is not acquired.
        """
        return LockLoss._of(self._portal, self._read(lambda: self._inner.lost))

    def ownership(self) -> Compare:
        """Return a compare that succeeds until the lock is released or lost.

        Add it to the transactions that the lock protects: one that arrives after the loss changes
        nothing. Raises `ValueError` if the lock is not acquired.
        """
        return self._inner.ownership()

    def release(self) -> bool:
        """Release the lock; return whether it was still held. False if it was not acquired.

        If another client holds the lock by now, nothing changes. An interruption is raised after
        the lock was released and its lease was revoked. After a `ClientError` the lock counts as
        released here; in etcd it ends with its lease at the latest.
        """
        return self._portal.run(self._inner.release)

    def __enter__(self) -> Lock:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)
