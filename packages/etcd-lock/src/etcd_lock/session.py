"""A session: the lease of a program's mutexes, candidacies and queue entries."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from itertools import count
from typing import Any

from etcd_channel import ChannelLike, NonCopyable, Service, channel_of
from etcd_channel.arguments import check_flag, check_int
from etcd_channel.tasks import log_errors
from etcd_lease import Lease, LeaseLoss
from etcd_lease.loss import loss_notices
from etcd_lock._local_lock import LocalLocks
from etcd_lock._pending_deletions import PendingDeletions
from etcd_lock._services import Services

__all__ = ["Session"]


class Session(NonCopyable):
    """A lease that is kept alive, for mutexes, candidacies and queue entries.

    `ttl` is the number of seconds after which they are released if the program is killed or
    disconnected. `lease_id` is an id of the caller's choice, None for a random one; an id in use
    raises `DuplicateLeaseError`. `client` is any client, or a channel.

    Await it, or enter it, to open it. Leaving it revokes the lease, which releases every mutex and
    ends every candidacy and queue entry of the session. `lost` waits until the session is lost. If
    it is lost during the block, the body raises no error and was not notified, `LeaseExpiredError`
    is raised at the end; with `cancel_on_loss` the body is cancelled when the session is lost. The
    rules are those of `Lease`. A session that this client closes does not count as lost.
    """

    def __init__(
        self,
        client: ChannelLike | Service,
        ttl: int = 60,
        *,
        lease_id: int | None = None,
        cancel_on_loss: bool = False,
    ) -> None:
        self._channel = channel_of(client)
        self._services = Services(self._channel)
        self.ttl = check_int("ttl", ttl, minimum=1)
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self._lease_id = lease_id
        self._lease: Lease | None = None
        # Tasks that open it at once have one lease.
        self._opening = asyncio.Lock()
        # Tasks that share a session have the same key in a queue: they wait for each other here.
        self._local_locks = LocalLocks()
        # Distinguishes the keys of the locks that have one each.
        self._numbers = count(1)
        self._pending_deletions = PendingDeletions(self._channel)

    @property
    def channel(self) -> ChannelLike:
        """The channel of the session's calls; service clients can be made on it."""
        return self._channel

    @property
    def lease(self) -> Lease:
        """The session's lease. Raises `ValueError` before the session is open."""
        if self._lease is None:
            raise ValueError("the session is not open: await it, or enter it, first")
        return self._lease

    @property
    def is_lost(self) -> bool:
        """Whether the session was opened and has ended, for any reason."""
        return self._lease is not None and self._lease.is_lost

    @property
    def lost(self) -> LeaseLoss:
        """A coroutine that waits for the end of the session: `error = await session.lost`.

        See `Lease.lost`. Raises `ValueError` before the session is open.
        """
        return self.lease.lost

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def _open(self) -> Session:
        async with self._opening:
            await self._grant()
        return self

    async def _grant(self) -> None:
        if self._lease is None:
            self._lease = await self._services.leases.lease(
                self.ttl, self._lease_id, keep_alive=True, cancel_on_loss=self.cancel_on_loss
            )

    async def __aenter__(self) -> Session:
        _ = await self._open()
        await self.lease.__aenter__()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.lease.__aexit__(kind, error, trace)

    async def close(self) -> None:
        """Revoke the lease; does nothing if it is lost or the session was never open.

        A failed revocation is logged: the lease then ends with its time to live. A cancellation is
        raised after the lease was revoked.
        """
        if self._lease is not None and not self._lease.is_lost:
            loss_notices(self._lease).record_own_end()
            await self._services.run_to_completion(log_errors(self._lease.revoke()))

    def __repr__(self) -> str:
        lease = "" if self._lease is None else f", lease={self._lease.id:x}"
        return f"Session(ttl={self.ttl}{lease})"
