"""A member of the cluster, as the member list tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from etcd_channel import Channel, Record
from etcd_channel.endpoints import parse_endpoint
from etcd_cluster.alarms import Alarm, ask_alarms
from etcd_cluster.pb import cluster_pb2 as pb
from etcd_cluster.requests import checked_urls

__all__ = ["Member", "MembersClient", "endpoint_name"]


class MembersClient(Protocol):
    """What a member needs of the client that it came from."""

    @property
    def channel(self) -> Channel: ...

    async def remove_member(
        self, member_id: int, *, timeout: float | None = None
    ) -> list[Member]: ...

    async def update_member(
        self, member_id: int, peer_urls: Iterable[str], *, timeout: float | None = None
    ) -> list[Member]: ...

    async def promote_member(
        self, member_id: int, *, timeout: float | None = None
    ) -> list[Member]: ...


class Member(Record):
    """A member of the etcd cluster, as it was when it was asked for.

    Two are equal if all that is known of them is; the client they came from is no part
    of that.
    """

    __slots__ = ("_etcd_client", "client_urls", "id", "is_learner", "name", "peer_urls")
    _fields: ClassVar[tuple[str, ...]] = ("id", "name", "peer_urls", "client_urls", "is_learner")

    id: int
    """The member's id."""
    name: str
    """Its name, for people; empty as long as it was added and never started."""
    peer_urls: list[str]
    """Where the other members reach it."""
    client_urls: list[str]
    """Where clients reach it; empty as long as it was added and never started."""
    is_learner: bool
    """Whether it only follows: without a vote, and serving no call but its status."""

    def __init__(
        self,
        id: int,
        name: str,
        peer_urls: Sequence[str],
        client_urls: Sequence[str],
        etcd_client: MembersClient,
        *,
        is_learner: bool = False,
    ) -> None:
        self.id = id
        self.name = name
        self.peer_urls = list(peer_urls)
        self.client_urls = list(client_urls)
        self.is_learner = is_learner
        self._etcd_client = etcd_client

    @classmethod
    def of(cls, message: pb.Member, etcd_client: MembersClient) -> Member:
        """Make a member of what came over the wire."""
        return cls(
            message.ID,
            message.name,
            message.peerURLs,
            message.clientURLs,
            etcd_client,
            is_learner=message.isLearner,
        )

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def endpoints(self) -> list[str]:
        """Those of its client URLs that a channel takes; etcd's form of a socket is none."""
        return [url for url in self.client_urls if _is_endpoint(url)]

    @property
    def endpoint(self) -> str | None:
        """The first of its endpoints, or None, as for `client.status(endpoint=…)`.

        It is what the member advertises (`--advertise-client-urls`), which need not be
        reachable from here. None means there that any member may answer.
        """
        return next(iter(self.endpoints), None)

    async def remove(self, *, timeout: float | None = None) -> None:
        """Remove this member from the cluster. Raises as `remove_member` does."""
        await self._etcd_client.remove_member(self.id, timeout=timeout)

    async def update(self, peer_urls: Iterable[str], *, timeout: float | None = None) -> None:
        """Tell the cluster that this member is reached at `peer_urls` from now on.

        Then they are this object's too. Raises as `update_member` does.
        """
        urls = checked_urls("peer_urls", peer_urls)
        await self._etcd_client.update_member(self.id, urls, timeout=timeout)
        self.peer_urls = urls

    async def promote(self, *, timeout: float | None = None) -> None:
        """Give this learner a vote. Raises as `promote_member` does."""
        await self._etcd_client.promote_member(self.id, timeout=timeout)
        self.is_learner = False

    async def active_alarms(self, *, timeout: float | None = None) -> list[Alarm]:
        """List the alarms of this member, and those that were raised for all together."""
        return await ask_alarms(self._etcd_client.channel, self.id, timeout=timeout)


def endpoint_name(endpoint: str) -> str:
    """The address that an endpoint is compared by: without its scheme, with its port."""
    return parse_endpoint(endpoint).name


def _is_endpoint(url: str) -> bool:
    try:
        parse_endpoint(url)
    except ValueError:
        return False
    return True
