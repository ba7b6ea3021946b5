"""`Lease` and `LeaseClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from types import TracebackType
from typing import Literal

import etcd_client
from etcd_client import Lease as AsyncLease
from etcd_client import LeaseExpiredError, LeaseInfo, LeaseLike, LeaseRefresh
from etcd_sync._handle import Handle, Service, inner_of, refuse_cancel_on_loss
from etcd_sync.loss import LeaseLoss

__all__ = ["Lease", "LeaseClient"]


class Lease(Handle):
    """A lease: when it ends, the server deletes the keys attached to it.

    `LeaseClient.lease` grants a lease. The constructor makes an object for a lease whose id is
    known: `ttl` is the number of seconds that it was granted for, `etcd_client` a `LeaseClient` or
    `Client`. A lease ends when it is revoked, or when it is not renewed within its time to live:
    `refresh` renews it once, `keep_alive` until it is stopped.

    It is a context manager, which revokes the lease at the end of the block. If a lease that is
    kept alive is lost during the block, `LeaseExpiredError` is raised at its end, unless the body
    was notified: `lost.wait` has returned the error, or a method has raised it. An error of the
    body is raised instead, with the loss at the end of its chain of `__context__`s.
    `cancel_on_loss` must be False: the body of a `with` cannot be interrupted; it can check
    `is_lost`. A lease that this client revoked itself does not count as lost here.

    `is_lost`, `lost` and `remaining` guarantee: while the lease is not lost, the server has it.
    They count its time to live from when the last acknowledged request (the grant or a renewal) was
    *sent*, by a clock of this machine that also counts while the process is stopped or the machine
    is suspended. The clock is read at each access, so they are correct immediately after such a
    pause. A lost lease stays lost, even if an answer arrives later, and even if the server, which
    began to count later, still has the lease for a moment. (A defect of etcd can end a lease
    earlier: a leader that was replaced during a pause may revoke a lease that its successor has
    renewed, https://github.com/etcd-io/etcd/issues/15247. The next keep-alive reports the loss.)

    They do not guarantee that the lease still exists when a request that relies on it arrives. If
    two programs must never act at the same time, use a transaction that compares a key attached to
    the lease, or a fencing token (the `create_revision` of that key) that the other system checks
    (https://etcd.io/docs/latest/learning/why/, "Notes on the usage of lock and lease").

    An object made from an id is neither lost nor confirmed until the server answers the first
    `refresh` or `keep_alive`. All `Lease` objects of one id of one client share one state.
    """

    _inner: AsyncLease

    def __init__(self, lease_id: int, ttl: int, etcd_client: LeaseClient) -> None:
        inner_etcd_client = inner_of("etcd_client", etcd_client, LeaseClient)
        super().__init__(
            etcd_client._portal,
            etcd_client._portal.call(AsyncLease, lease_id, ttl, inner_etcd_client),
        )

    @property
    def id(self) -> int:
        """The id of the lease."""
        return self._inner.id

    @property
    def ttl(self) -> int:
        """The seconds that it was granted for, which may be more than requested."""
        return self._inner.ttl

    def revoke(self, *, timeout: float | None = None) -> None:
        """Revoke the lease; the server deletes the keys attached to it.

        The lease counts as lost, and is no longer kept alive, as soon as this is called, even if
        the call fails or is interrupted. Raises as `LeaseClient.revoke_lease` does. If this client
        was granted the id again, the lease with the id is another one: nothing is revoked, and
        `LeaseExpiredError` is raised.
        """
        self._portal.run(self._inner.revoke, timeout=timeout)

    def refresh(self, *, timeout: float | None = None) -> LeaseRefresh:
        """Renew the lease once: its time to live starts again.

        Raises `LeaseExpiredError` if it is lost; if that is already known, without a call.
        """
        return self._portal.run(self._inner.refresh, timeout=timeout)

    def remaining_ttl(self, *, timeout: float | None = None) -> int:
        """Ask the server for the remaining seconds, rounded down.

        Raises `LeaseExpiredError` if the lease is lost. `remaining` needs no call.
        """
        return self._portal.run(self._inner.remaining_ttl, timeout=timeout)

    def granted_ttl(self, *, timeout: float | None = None) -> int:
        """Ask the server for the seconds that the lease was granted for.

        Raises `LeaseExpiredError` if the lease is lost.
        """
        return self._portal.run(self._inner.granted_ttl, timeout=timeout)

    def keys(self, *, timeout: float | None = None) -> list[bytes]:
        """Ask the server for the keys attached to the lease.

        Raises `LeaseExpiredError` if the lease is lost.
        """
        return self._portal.run(self._inner.keys, timeout=timeout)

    def keep_alive(self, *, timeout: float | None = None) -> None:
        """Renew the lease until it is revoked or lost, or `stop_keep_alive` is called.

        Returns when the server has confirmed the lease: at once, or after a refresh if the object
        was made from an id. `timeout` is the number of seconds for that refresh; None means the
        client's timeout. Raises `LeaseExpiredError` if the lease is lost. Repeated calls have no
        effect.

        The lease is renewed when half of its time to live is over, or earlier, so that 5 s are
        left; below 7.5 s, and through etcd's grpc-proxy, after a third of it. The first renewal is
        earlier, at random. A keep-alive that is not answered within half a second is sent again,
        and after another half a second on a new stream to the next member; the proxy answers only
        when it renews the lease itself, and gets more time. The leases of a client share streams.
        Dropping the `Lease` object does not stop the keep-alives.
        """
        self._portal.run(self._inner.keep_alive, timeout=timeout)

    def stop_keep_alive(self) -> None:
        """Stop renewing the lease; it ends when its time to live is over. Sends nothing."""
        self._portal.call(self._inner.stop_keep_alive)

    @property
    def is_lost(self) -> bool:
        """Whether the lease is lost, by the clock and without a call; once True, it stays True."""
        return self._read(lambda: self._inner.is_lost)

    @property
    def lost(self) -> LeaseLoss:
        """The loss of the lease: `lost.wait()` waits for it, `lost.wait(0)` checks for it.

        `wait` returns, and does not raise, the `LeaseExpiredError` with the reason: the server no
        longer has the lease, no renewal was acknowledged within its time to live, this client
        revoked it, or the client was closed. Any number of threads may wait. After the machine was
        suspended, `wait` may return later than `is_lost` becomes True, by up to half of the time to
        live if the lease is kept alive.
        """
        return LeaseLoss._of(self._portal, self._read(lambda: self._inner.lost))

    @property
    def loss(self) -> LeaseExpiredError | None:
        """The error that `lost.wait` would return; None if the lease is not lost by the clock.

        Reading it does not count as being notified of the loss.
        """
        return self._read(lambda: self._inner.loss)

    def until_lost(self) -> LeaseExpiredError:
        """Wait as `lost.wait()` does, but without counting as notified of the loss.

        For packages that are built on leases.
        """
        return self._portal.run(self._inner.until_lost)

    @property
    def is_revoked(self) -> bool:
        """Whether the lease is lost because this client revoked it."""
        return self._read(lambda: self._inner.is_revoked)

    @property
    def is_kept_alive(self) -> bool:
        """Whether `keep_alive` was called and not stopped; stays True when the lease is lost."""
        return self._inner.is_kept_alive

    @property
    def remaining(self) -> float:
        """The seconds for which the server is certain to have the lease, by the clock.

        0.0 if it is lost, or not confirmed yet.
        """
        return self._read(lambda: self._inner.remaining)

    def check(self) -> None:
        """Raise a `LeaseExpiredError` with the reason if the lease is lost, by the clock."""
        self._portal.call(self._inner.check)

    def __enter__(self) -> Lease:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Revoke the lease.

        A failed revocation is logged: the server ends the lease when its time to live is over.
        Raises `LeaseExpiredError` if the lease was kept alive and lost, the body raised no error,
        and it was not notified of the loss (`lost.wait` has returned it, or a method raised it).
        """
        self._portal.exit(self._inner, kind, error, trace)


class LeaseClient(Service):
    """etcd's lease service.

    Methods take a lease as its id, any signed 64-bit number but 0, or as an object with an
    attribute `id`. `timeout` is the number of seconds that a call may take; None means the client's
    timeout. A call that fails raises a `ClientError`.
    """

    _inner: etcd_client.KeyspaceClient

    def lease(
        self,
        ttl: int,
        lease_id: int | None = None,
        *,
        keep_alive: bool = False,
        cancel_on_loss: Literal[False] = False,
        timeout: float | None = None,
    ) -> Lease:
        """Grant a lease for `ttl` seconds.

        `ttl` is a whole number of seconds; the server grants at least one and a half times its
        election timeout, also for 0 and negative numbers. `lease_id` is the id of the new lease,
        any signed 64-bit number; None or 0 lets the client choose one at random. `keep_alive`
        starts to renew the lease at once, as `Lease.keep_alive` does. `with client.lease(10) as
        lease:` revokes the lease at the end of the block, see `Lease`. `cancel_on_loss` must be
        False.

        Raises `DuplicateLeaseError` for an id in use, `LeaseTTLTooLargeError` above the server's
        limit of 9,000,000,000 s.

        With an id that the client chose, the grant is safe to repeat, and is repeated when its
        answer is lost. A caller that is interrupted, or gets an error that is not `definite`, has
        no lease: if one was granted, it is revoked in the background, provided that the server can
        be reached. A request that was held up in the network or by a member until the lease was
        revoked grants it again; that lease has no keys and ends with its time to live. With a
        `lease_id`, the grant is not repeated; after an error that is not `definite` the id may be
        in use, by this grant or by another.
        """
        refuse_cancel_on_loss(cancel_on_loss)
        return Lease._of(
            self._portal,
            self._portal.run(
                self._inner.lease,
                ttl,
                lease_id,
                keep_alive=keep_alive,
                cancel_on_loss=False,
                timeout=timeout,
            ),
        )

    def revoke_lease(self, lease_id: LeaseLike, *, timeout: float | None = None) -> None:
        """Revoke a lease; the server deletes the keys attached to it.

        The lease counts as lost here, and is no longer kept alive, as soon as this is called, even
        if the call then fails or is interrupted: the server ends the lease when its time to live is
        over.

        Raises `LeaseNotFoundError` for a lease that does not exist, but not if an earlier attempt
        of the same call was not answered, because that attempt may have revoked it.
        """
        self._portal.run(self._inner.revoke_lease, lease_id, timeout=timeout)

    def refresh_lease(self, lease_id: LeaseLike, *, timeout: float | None = None) -> LeaseRefresh:
        """Renew a lease once: its time to live starts again.

        Raises `LeaseNotFoundError` for a lease that does not exist.
        """
        return self._portal.run(self._inner.refresh_lease, lease_id, timeout=timeout)

    def get_lease_info(
        self, lease_id: LeaseLike, *, keys: bool = True, timeout: float | None = None
    ) -> LeaseInfo:
        """Return the remaining and the granted seconds of a lease and, with `keys`, its keys.

        Raises `LeaseNotFoundError` for a lease that does not exist.
        """
        return self._portal.run(self._inner.get_lease_info, lease_id, keys=keys, timeout=timeout)

    def leases(self, *, timeout: float | None = None) -> list[int]:
        """List the ids of all leases of the cluster, in ascending order.

        The member answers from its own data without asking a majority, so the list may be stale.
        """
        return self._portal.run(self._inner.leases, timeout=timeout)
