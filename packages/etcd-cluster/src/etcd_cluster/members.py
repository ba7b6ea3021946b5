"""`Member`: an entry of the member list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from etcd_channel import ChannelLike, Record
from etcd_channel.endpoints import parse_endpoint
from etcd_cluster.alarms import Alarm, ask_alarms
from etcd_cluster.pb import cluster_pb2 as pb
from etcd_cluster.requests import checked_urls

__all__ = ["Member", "MembersClient", "client_endpoints", "endpoint_name"]


class MembersClient(Protocol):
    """The calls that a `Member` makes through the client that returned it."""

    @property
    def channel(self) -> ChannelLike: ...

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
    """A member of the etcd cluster, as it was when it was read.

    Members are equal if all their fields are equal; the client that returned them does not count.
    `update` and `promote` change the object too. The hash is that of the id, which never changes.
    """

    __slots__ = ("_etcd_client", "_id", "client_urls", "is_learner", "name", "peer_urls")
    _fields: ClassVar[tuple[str, ...]] = ("id", "name", "peer_urls", "client_urls", "is_learner")

    name: str
    """The name of the member; empty until it is started for the first time."""
    peer_urls: list[str]
    """The URLs at which the other members reach it."""
    client_urls: list[str]
    """The URLs at which clients reach it; empty until it is started for the first time."""
    is_learner: bool
    """Whether it is a learner: it has no vote, and serves only `status`."""

    def __init__(
        self,
        id: int,
        name: str,
        peer_urls: Sequence[str],
        client_urls: Sequence[str],
        etcd_client: MembersClient | None,
        *,
        is_learner: bool = False,
    ) -> None:
        self._id = id
        self.name = name
        self.peer_urls = list(peer_urls)
        self.client_urls = list(client_urls)
        self.is_learner = is_learner
        self._etcd_client = etcd_client

    @property
    def id(self) -> int:
        """The member's id."""
        return self._id

    @classmethod
    def of(cls, message: pb.Member, etcd_client: MembersClient) -> Member:
        """Make a member from a message."""
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

    # A copy keeps the client; a pickle contains only the fields.

    def __copy__(self) -> Member:
        return self._copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Member:
        return self._copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled, (type(self), *(getattr(self, name) for name in self._fields))

    def _copy(self) -> Member:
        return type(self)(
            self._id,
            self.name,
            self.peer_urls,
            self.client_urls,
            self._etcd_client,
            is_learner=self.is_learner,
        )

    @property
    def _client(self) -> MembersClient:
        client = self._etcd_client
        if client is None:
            raise TypeError(
                "a Member that was pickled no longer has a client: call the client's own"
                f" methods with its id, {self.id}"
            )
        return client

    @property
    def endpoints(self) -> list[str]:
        """The client URLs that a `Channel` accepts: all except etcd's form of unix sockets."""
        return client_endpoints(self.client_urls)

    @property
    def endpoint(self) -> str | None:
        """The first of its endpoints, for `client.status(endpoint=…)`; None if it has none.

        The member advertises it (`--advertise-client-urls`); it may not be reachable from here.
        Note that `status(endpoint=None)` may be answered by any member.
        """
        return next(iter(self.endpoints), None)

    async def remove(self, *, timeout: float | None = None) -> None:
        """Remove this member from the cluster.

        Raises as `ClusterClient.remove_member` does.
        """
        await self._client.remove_member(self.id, timeout=timeout)

    async def update(self, peer_urls: Iterable[str], *, timeout: float | None = None) -> None:
        """Change the peer URLs of this member, and of this object, to `peer_urls`.

        Raises as `ClusterClient.update_member` does; this object is unchanged then.
        """
        urls = checked_urls("peer_urls", peer_urls)
        await self._client.update_member(self.id, urls, timeout=timeout)
        self.peer_urls = urls

    async def promote(self, *, timeout: float | None = None) -> None:
        """Promote this learner to a voting member.

        Raises as `ClusterClient.promote_member` does.
        """
        await self._client.promote_member(self.id, timeout=timeout)
        self.is_learner = False

    async def active_alarms(self, *, timeout: float | None = None) -> list[Alarm]:
        """Return the active alarms of this member, and those raised for all members together."""
        return await ask_alarms(self._client.channel, self.id, timeout=timeout)


def _pickled(
    kind: type[Member],
    id: int,
    name: str,
    peer_urls: list[str],
    client_urls: list[str],
    is_learner: bool,
) -> Member:
    return kind(id, name, peer_urls, client_urls, None, is_learner=is_learner)


def endpoint_name(endpoint: str) -> str:
    """Return an endpoint as "host:port" without its scheme, to compare it with others."""
    return parse_endpoint(endpoint).name


def client_endpoints(urls: Iterable[str]) -> list[str]:
    """Return those of a member's client URLs that a `Channel` accepts."""
    return [url for url in urls if _is_endpoint(url)]


def _is_endpoint(url: str) -> bool:
    try:
        parse_endpoint(url)
    except ValueError:
        return False
    return True
