"""The lease service: what a program calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc

from etcd_channel import ClientError, DuplicateLeaseError, Service
from etcd_channel.arguments import check_flag, check_timeout
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease._clock import now
from etcd_lease._keeper import Keeper
from etcd_lease._life import Ending
from etcd_lease.lease import Lease, PendingLease
from etcd_lease.pb import lease_pb2 as pb
from etcd_lease.requests import LeaseLike, checked_lease_id, grant_request, info_request
from etcd_lease.results import LeaseInfo, LeaseRefresh
from etcd_lease.rpcs import GRANT, KEEP_ALIVE, LEASES, REVOKE, TIME_TO_LIVE

__all__ = ["LeaseClient"]

# With an id that only this client can have chosen a grant can be repeated: that it exists
# already is the answer that got lost.
_GRANT_OF_OWN_ID = replace(GRANT, repeatable=True)
# One request and one answer make the stream a call like others, with a timeout and a retry.
_KEEP_ALIVE_ONCE = replace(KEEP_ALIVE, endless=False)


class LeaseClient(Service):
    """etcd's lease service on a channel.

    A lease is named by its id or by any object that has it as `id`. `timeout` is the number
    of seconds that a call may take, None the channel's. Every call raises a `ClientError`.
    """

    # Granting --------------------------------------------------------------------------

    def lease(
        self,
        ttl: int,
        lease_id: int | None = None,
        *,
        keep_alive: bool = False,
        timeout: float | None = None,
    ) -> PendingLease:
        """Grant a lease for `ttl` seconds: `await` it, or enter it by `async with`.

        `ttl` is a whole number of seconds, at least 1; the server grants more where it is
        less than one and a half of its election timeout. `lease_id` is the id to have; None
        or 0 for one that nobody has. `keep_alive` renews the lease from the beginning, as
        `Lease.keep_alive`. In `async with client.lease(10) as lease:` it is revoked at the
        end of the block.

        Raises `DuplicateLeaseError` for an id in use, `LeaseTTLTooLargeError` above the
        server's limit of 9,000,000,000 s.

        An id of the client's own choice makes the grant safe to repeat, so an answer that
        is lost is asked for again. A caller that is cancelled, or gets an error that is not
        `definite`, has no lease: one that was granted all the same is revoked in the
        background, as far as the server can be reached. With a `lease_id` of the caller's
        nothing is repeated, and where it is not `definite` the id may be in use now, by
        this grant or by another.
        """
        request, own_id = grant_request(ttl, lease_id)
        check_flag("keep_alive", keep_alive)
        if timeout is not None:
            check_timeout("timeout", timeout)
        return PendingLease(self._lease(request, own_id, keep_alive, timeout))

    async def _lease(
        self, request: pb.LeaseGrantRequest, own_id: bool, keep_alive: bool, timeout: float | None
    ) -> Lease:
        # A task of its own, which goes on when the caller is cancelled: a revocation can
        # overtake a grant that is still under way, but not one that was answered.
        task = asyncio.create_task(
            self._grant(request, own_id, keep_alive, timeout), name=f"etcd {GRANT.name}"
        )
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._channel.clean_up(self._take_back(task))
            raise
        return task.result()

    async def _grant(
        self, request: pb.LeaseGrantRequest, own_id: bool, keep_alive: bool, timeout: float | None
    ) -> Lease:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._channel.timeout if timeout is None else timeout)
        sent = now()
        ttl = None
        try:
            rpc = _GRANT_OF_OWN_ID if own_id else GRANT
            ttl = (await self._channel.call(rpc, request, timeout=timeout)).TTL
        except DuplicateLeaseError as error:
            if not own_id or error.definite:
                raise
        except ClientError as error:
            if own_id and not error.definite and not self._channel.closed:
                self._channel.clean_up(self._revoke_if_there(request.ID))
            raise
        # The lease is there, and it is this call's.
        try:
            if ttl is None:
                left = max(deadline - loop.time(), 0.001)
                ttl = (await self.get_lease_info(request.ID, keys=False, timeout=left)).granted_ttl
            keeper = self._channel.shared(Keeper)
            lease = Lease._granted(self, keeper, keeper.begin(request.ID, ttl, sent))
            lease.check()
            if keep_alive:
                await lease.keep_alive()
        except ClientError:
            self._channel.clean_up(self._revoke_if_there(request.ID))
            raise
        return lease

    async def _take_back(self, task: asyncio.Task[Lease]) -> None:
        """Revoke the lease that a caller did not wait for."""
        try:
            lease = await task
        except ClientError:
            return  # There is none, or it is taken back already.
        await self._revoke_if_there(lease.id)

    async def _revoke_if_there(self, lease_id: int) -> None:
        try:
            await self.revoke_lease(lease_id)
        except LeaseNotFoundError:
            pass

    # By id -----------------------------------------------------------------------------

    async def revoke_lease(self, lease_id: LeaseLike, *, timeout: float | None = None) -> None:
        """End a lease, and delete the keys that were put with it.

        From the call on this client takes the lease for lost, and keeps it alive no longer,
        whatever comes of the call: where it fails, or is cancelled, the server ends the
        lease when its time is up.

        Raises `LeaseNotFoundError` for a lease that is not there. That is no error where an
        earlier sending of the very call had no answer: then that was most likely what ended
        it.
        """
        number = checked_lease_id("lease_id", lease_id)
        if timeout is not None:
            check_timeout("timeout", timeout)
        self._channel.shared(Keeper).lost(
            number, now(), Ending("this client revoked it", wanted=True)
        )
        try:
            await self._channel.call(REVOKE, pb.LeaseRevokeRequest(ID=number), timeout=timeout)
        except LeaseNotFoundError as error:
            if error.definite:
                raise

    async def refresh_lease(
        self, lease_id: LeaseLike, *, timeout: float | None = None
    ) -> LeaseRefresh:
        """Renew a lease once: it lives for its whole time to live from now on.

        Raises `LeaseNotFoundError` for a lease that is not there.
        """
        request = pb.LeaseKeepAliveRequest(ID=checked_lease_id("lease_id", lease_id))
        sent = now()
        response = await self._channel.call(_KEEP_ALIVE_ONCE, request, timeout=timeout)
        if response.TTL <= 0:
            raise self._not_found(request.ID, sent, KEEP_ALIVE.name)
        self._channel.shared(Keeper).renewed(request.ID, sent, response.TTL)
        return LeaseRefresh(response)

    async def get_lease_info(
        self, lease_id: LeaseLike, *, keys: bool = True, timeout: float | None = None
    ) -> LeaseInfo:
        """Ask what is left of a lease and, with `keys`, which keys end with it.

        Raises `LeaseNotFoundError` for a lease that is not there.
        """
        request = info_request(lease_id, keys)
        sent = now()
        response = await self._channel.call(TIME_TO_LIVE, request, timeout=timeout)
        # Less than a whole second is 0; what is not there is -1.
        if response.TTL < 0:
            raise self._not_found(request.ID, sent, TIME_TO_LIVE.name)
        return LeaseInfo(response)

    async def leases(self, *, timeout: float | None = None) -> list[int]:
        """List the ids of all leases of the cluster, in their order.

        A member answers from what it has: the list may be a little old.
        """
        response = await self._channel.call(LEASES, pb.LeaseLeasesRequest(), timeout=timeout)
        return sorted(lease.ID for lease in response.leases)

    def _not_found(self, lease_id: int, sent: float, method: str) -> LeaseNotFoundError:
        """Make the error for what the server answers by a number only."""
        ending = Ending("the server has it no more: it expired, or was revoked", gone=True)
        self._channel.shared(Keeper).lost(lease_id, sent, ending)
        return LeaseNotFoundError(
            f"requested lease not found: {lease_id}", code=grpc.StatusCode.NOT_FOUND
        )
