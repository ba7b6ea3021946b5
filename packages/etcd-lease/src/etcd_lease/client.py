"""The lease service: the client class."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import CoroutineType
from typing import NamedTuple

import grpc

from etcd_channel import ClientError, DuplicateLeaseError, LeaseLike, Service
from etcd_channel.arguments import check_flag, check_lease_id, check_timeout
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease._clock import now
from etcd_lease._keeper import LeaseKeeper
from etcd_lease._state import GONE, LossReason
from etcd_lease.lease import Lease, PendingLease
from etcd_lease.pb import lease_pb2 as pb
from etcd_lease.requests import grant_request, info_request
from etcd_lease.results import LeaseInfo, LeaseRefresh
from etcd_lease.rpcs import GRANT, KEEP_ALIVE, LEASES, REVOKE, TIME_TO_LIVE

__all__ = ["LeaseClient"]

# A grant with an id that this client chose can be repeated: "already exists" means that an earlier
# attempt was applied, and its answer was lost.
_GRANT_OF_OWN_ID = replace(GRANT, repeatable=True)
# One request and one answer on a stream are a call like others, with a timeout and retries.
_KEEP_ALIVE_ONCE = replace(KEEP_ALIVE, unbounded=False)


class _Flags(NamedTuple):
    """The options of a lease that apply after the grant."""

    keep_alive: bool
    cancel_on_loss: bool


class LeaseClient(Service):
    """etcd's lease service on a channel.

    Methods take a lease as its id, any signed 64-bit number but 0, or as an object with an
    attribute `id`. `timeout` is the number of seconds that a call may take; None means the
    channel's timeout. A call that fails raises a `ClientError`.
    """

    # Granting --------------------------------------------------------------------------

    def lease(
        self,
        ttl: int,
        lease_id: int | None = None,
        *,
        keep_alive: bool = False,
        cancel_on_loss: bool = False,
        timeout: float | None = None,
    ) -> PendingLease:
        """Grant a lease for `ttl` seconds: `await` it, or enter it by `async with`.

        `ttl` is a whole number of seconds; the server grants at least one and a half times its
        election timeout, also for 0 and negative numbers. `lease_id` is the id of the new
        lease, any signed 64-bit number; None or 0 lets the client choose one at random.
        `keep_alive` starts to renew the lease at once, as `Lease.keep_alive` does.
        `async with client.lease(10) as lease:` revokes the lease at the end of the block; with
        `cancel_on_loss` the body is cancelled when the lease is lost, see `Lease`.

        Raises `DuplicateLeaseError` for an id in use, `LeaseTTLTooLargeError` above the
        server's limit of 9,000,000,000 s.

        With an id that the client chose, the grant is safe to repeat, and is repeated when its
        answer is lost. A caller that is cancelled, or gets an error that is not `definite`, has no
        lease: if one was granted, it is revoked in the background, provided that the server can be
        reached. A request that was held up in the network or by a member until the lease was
        revoked grants it again; that lease has no keys and ends with its time to live. With a
        `lease_id`, the grant is not repeated; after an error that is not `definite` the id may be
        in use, by this grant or by another.
        """
        request, own_id = grant_request(ttl, lease_id)
        check_flag("keep_alive", keep_alive)
        check_flag("cancel_on_loss", cancel_on_loss)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        flags = _Flags(keep_alive, cancel_on_loss)
        granting = self._lease(request, own_id, flags, timeout)
        assert isinstance(granting, CoroutineType)
        # Python uses this name in its warning about a coroutine that was never awaited.
        granting.__qualname__ = f"{type(self).__name__}.lease"
        return PendingLease(granting)

    async def _lease(
        self, request: pb.LeaseGrantRequest, own_id: bool, flags: _Flags, timeout: float | None
    ) -> Lease:
        # In a task of its own, so that the grant continues when the caller is cancelled: without
        # its answer, a revocation might reach the server before the grant.
        task = asyncio.create_task(
            self._grant(request, own_id, flags, timeout), name=f"etcd {GRANT.name}"
        )
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._channel.run_in_background(self._take_back(task))
            raise
        try:
            return task.result()
        finally:
            del task  # it keeps its error, which keeps this frame

    async def _grant(
        self, request: pb.LeaseGrantRequest, own_id: bool, flags: _Flags, timeout: float | None
    ) -> Lease:
        deadline = self._deadline(timeout)
        sent = now()
        ttl = None
        try:
            rpc = _GRANT_OF_OWN_ID if own_id else GRANT
            ttl = (await self._channel.call(rpc, request, timeout=timeout)).TTL
        except DuplicateLeaseError as error:
            if not own_id or error.definite:
                raise
        except Exception as error:
            # Any other exception was raised by a view of the channel, before the grant or after it.
            definite = isinstance(error, ClientError) and error.definite
            if own_id and not definite and not self._channel.closed:
                self._channel.run_in_background(self._revoke_if_there(request.ID))
            raise
        # The lease exists, and this call granted it.
        try:
            if ttl is None:
                info = await self.get_lease_info(request.ID, keys=False, timeout=deadline.timeout())
                ttl = info.granted_ttl
            keeper = self._channel.shared(LeaseKeeper)
            state = keeper.begin(request.ID, ttl, sent)
            lease = Lease._granted(self, keeper, state, flags.cancel_on_loss)
            lease.check()
            if flags.keep_alive:
                await lease.keep_alive()
        except Exception:
            self._channel.run_in_background(self._revoke_if_there(request.ID))
            raise
        return lease

    async def _take_back(self, task: asyncio.Task[Lease]) -> None:
        """Revoke the lease of a grant whose caller was cancelled."""
        try:
            lease = await task
        except Exception:
            return  # No lease was granted, or it is already revoked.
        await self._revoke_if_there(lease.id)

    async def _revoke_if_there(self, lease_id: int) -> None:
        try:
            await self.revoke_lease(lease_id)
        except LeaseNotFoundError:
            pass

    # By id -----------------------------------------------------------------------------

    async def revoke_lease(self, lease_id: LeaseLike, *, timeout: float | None = None) -> None:
        """Revoke a lease; the server deletes the keys attached to it.

        The lease counts as lost here, and is no longer kept alive, as soon as this is called, even
        if the call then fails or is cancelled: the server ends the lease when its time to live is
        over.

        Raises `LeaseNotFoundError` for a lease that does not exist, but not if an earlier
        attempt of the same call was not answered, because that attempt may have revoked it.
        """
        number = check_lease_id("lease_id", lease_id)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        self._channel.shared(LeaseKeeper).lost(
            number, now(), LossReason("this client revoked it", revoked=True)
        )
        try:
            await self._channel.call(REVOKE, pb.LeaseRevokeRequest(ID=number), timeout=timeout)
        except LeaseNotFoundError as error:
            if error.definite:
                raise

    async def refresh_lease(
        self, lease_id: LeaseLike, *, timeout: float | None = None
    ) -> LeaseRefresh:
        """Renew a lease once: its time to live starts again.

        Raises `LeaseNotFoundError` for a lease that does not exist.
        """
        request = pb.LeaseKeepAliveRequest(ID=check_lease_id("lease_id", lease_id))
        sent = now()
        response = await self._channel.call(_KEEP_ALIVE_ONCE, request, timeout=timeout)
        if response.TTL <= 0:
            raise self._not_found(request.ID, sent, KEEP_ALIVE.name)
        self._channel.shared(LeaseKeeper).renewed(request.ID, sent, response.TTL)
        return LeaseRefresh.from_message(response)

    async def get_lease_info(
        self, lease_id: LeaseLike, *, keys: bool = True, timeout: float | None = None
    ) -> LeaseInfo:
        """Return the remaining and the granted seconds of a lease and, with `keys`, its keys.

        Raises `LeaseNotFoundError` for a lease that does not exist.
        """
        request = info_request(lease_id, keys)
        sent = now()
        response = await self._channel.call(TIME_TO_LIVE, request, timeout=timeout)
        # 0 is less than a second; -1 is a lease that does not exist.
        if response.TTL < 0:
            raise self._not_found(request.ID, sent, TIME_TO_LIVE.name)
        return LeaseInfo.from_message(response)

    async def leases(self, *, timeout: float | None = None) -> list[int]:
        """List the ids of all leases of the cluster, in ascending order.

        The member answers from its own data without asking a majority, so the list may be stale.
        """
        response = await self._channel.call(LEASES, pb.LeaseLeasesRequest(), timeout=timeout)
        return sorted(lease.ID for lease in response.leases)

    def _not_found(self, lease_id: int, sent: float, method: str) -> LeaseNotFoundError:
        """Mark a lease as lost that the server does not have; return the error."""
        self._channel.shared(LeaseKeeper).lost(lease_id, sent, GONE)
        return LeaseNotFoundError(
            f"requested lease not found: {lease_id}", code=grpc.StatusCode.NOT_FOUND
        )
