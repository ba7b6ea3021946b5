"""A session: the lease that a program's locks and candidacies live on."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any

from etcd_channel import Channel, Service
from etcd_channel.arguments import check_int
from etcd_lease import Lease
from etcd_lock._cleanup import finish, quietly
from etcd_lock._services import Services
from etcd_lock._turns import Turn

__all__ = ["Session"]


class Session:
    """A lease that is kept alive, and ends what was locked by it when the program ends.

    `ttl` is how many seconds others wait for the locks of a program that was killed or
    cut off. `lease_id` is an id of the caller's choice; one in use raises
    `DuplicateLeaseError`. `client` is any client, or a channel.

    Await it, or enter it; leaving revokes the lease, and with it goes every mutex and
    every candidacy of the session. `lease.lost` is to be awaited by who must know when
    the session ended otherwise.
    """

    def __init__(
        self, client: Channel | Service, ttl: int = 60, *, lease_id: int | None = None
    ) -> None:
        self.services = Services(client)
        self.ttl = check_int("ttl", ttl, minimum=1)
        self._lease_id = lease_id
        self._lease: Lease | None = None
        # Tasks that contend for one key by one session are one contender to etcd.
        self._turns: dict[bytes, Turn] = {}

    @property
    def lease(self) -> Lease:
        """The session's lease; `ValueError` before the session is open."""
        if self._lease is None:
            raise ValueError("the session is not open: await it, or enter it, first")
        return self._lease

    @property
    def is_lost(self) -> bool:
        """Whether the session was opened and has ended, whatever the reason."""
        return self._lease is not None and self._lease.is_lost

    def __await__(self) -> Generator[Any, None, Session]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Session:
        if self._lease is None:
            self._lease = await self.services.leases.lease(
                self.ttl, self._lease_id, keep_alive=True
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Revoke the lease; nothing if it is gone or the session was never open."""
        if self._lease is not None and not self._lease.is_lost:
            await finish(quietly(self._lease.revoke()))

    def turn(self, key: bytes) -> Turn:
        """The turn of this session's own tasks at a key."""
        return self._turns.setdefault(key, Turn())

    def __repr__(self) -> str:
        lease = "" if self._lease is None else f", lease={self._lease.id:x}"
        return f"Session(ttl={self.ttl}{lease})"
