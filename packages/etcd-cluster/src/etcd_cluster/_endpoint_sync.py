"""Keeps the endpoints of a channel in step with the member list of the cluster."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Iterable, Sequence
from functools import partial

from etcd_channel import ChannelLike, ClientError
from etcd_channel.deadline import Deadline
from etcd_channel.endpoints import parse_endpoint
from etcd_channel.errors import (
    ConnectionFailedError,
    ConnectionTimeoutError,
    NotFoundError,
    TLSHandshakeError,
)
from etcd_cluster.members import client_endpoints
from etcd_cluster.pb import cluster_pb2 as pb
from etcd_cluster.rpcs import MEMBER_LIST

__all__ = ["EndpointSync", "choose_endpoints"]

_log = logging.getLogger("etcd_cluster")

# What the channel itself reports. Subclasses are errors of a member that answers, such as one
# without a leader.
_NO_ANSWER = (ConnectionFailedError, ConnectionTimeoutError, TLSHandshakeError)


class EndpointSync:
    """Sets the endpoints of a channel to those of the member list, when asked or at an interval.

    A channel has one, which all cluster clients on it share.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self._channel = channel
        # The endpoints that the user gave, which are asked if none of the present ones answers.
        self._given = self._set = channel.addresses
        self._interval: float | None = None

    def sync_every(self, interval: float) -> None:
        """Sync every `interval` seconds until the channel is closed."""
        started = self._interval is not None
        self._interval = interval
        if not started:
            # By a weak reference, because a channel that is forgotten without being closed must be
            # collected, to be reported.
            self._channel.run_while_open(partial(_sync_for_ever, weakref.ref(self)))

    @property
    def interval(self) -> float:
        """Seconds between two syncs."""
        return self._interval or 0.0

    async def sync(self, timeout: float | None) -> tuple[str, ...]:
        """Sync once; see `ClusterClient.sync_endpoints`."""
        channel = self._channel
        deadline = Deadline.of("timeout", channel.timeout if timeout is None else timeout)
        present = channel.addresses
        if present != self._set:
            self._given = self._set = present  # the user has set others
        response = await self._member_list(deadline)
        # Those of an `SRV` are found by the first call.
        self._given = self._given or channel.addresses
        members = [
            client_endpoints(member.clientURLs)
            for member in response.members
            if not member.isLearner
        ]
        members = [urls for urls in members if urls]
        if not members:
            raise NotFoundError("no member of the cluster advertises a client URL")
        reached = await self._reached(members, response.header.cluster_id, deadline)
        chosen = choose_endpoints(channel.addresses, members, reached)
        if chosen is None:
            urls = ", ".join(url for urls in members for url in urls)
            raise NotFoundError(f"no member answers at the client URL that it advertises: {urls}")
        before = channel.endpoints
        channel.set_endpoints(chosen)
        self._set = channel.addresses
        after = channel.endpoints
        if set(after) != set(before):
            _log.info("the endpoints are now %s, as the members advertise", ", ".join(after))
        return after

    async def _member_list(self, deadline: Deadline) -> pb.MemberListResponse:
        request = pb.MemberListRequest(linearizable=True)
        channel = self._channel
        try:
            return await channel.call(MEMBER_LIST, request, timeout=deadline.timeout())
        except (ConnectionFailedError, ConnectionTimeoutError):
            others = [each for each in self._given if each not in channel.addresses]
            for endpoint in others:
                if deadline.passed:
                    break
                try:
                    return await channel.call(
                        MEMBER_LIST, request, timeout=deadline.timeout(), endpoint=endpoint
                    )
                except (ConnectionFailedError, ConnectionTimeoutError):
                    continue
            raise

    async def _reached(
        self, members: Iterable[Iterable[str]], cluster_id: int, deadline: Deadline
    ) -> set[str]:
        """Return the URLs at which a member answers; those of present endpoints are not asked."""
        names = {parse_endpoint(address).name for address in self._channel.addresses}
        unknown = {url for urls in members for url in urls if parse_endpoint(url).name not in names}
        answers = await asyncio.gather(
            *(self._answers(url, cluster_id, deadline) for url in unknown)
        )
        return {url for url, answer in zip(unknown, answers, strict=True) if answer}

    async def _answers(self, url: str, cluster_id: int, deadline: Deadline) -> bool:
        request = pb.MemberListRequest(linearizable=False)
        try:
            response = await self._channel.call(
                MEMBER_LIST, request, timeout=deadline.timeout(), endpoint=url
            )
        except (ClientError, ValueError) as error:
            # ValueError: a URL with http:// on a channel with TLS.
            _log.debug("no member answers at %s: %s", url, str(error))
            return False
        # A URL such as http://localhost:2379 can be that of another cluster here. The list of a
        # grpc-proxy has no cluster id.
        return response.header.cluster_id == cluster_id or not cluster_id


def choose_endpoints(
    present: Sequence[str], members: Iterable[Iterable[str]], reached: Iterable[str]
) -> list[str] | None:
    """Return the endpoints of a channel; None if no member can be reached at its URLs.

    `present` are its endpoints so far, `members` the client URLs of each member, `reached` those at
    which a member has answered. Nothing is removed unless every member can be reached.
    """
    names = {parse_endpoint(address).name: address for address in present}
    usable = names | {parse_endpoint(url).name: url for url in reached}
    chosen: dict[str, None] = {}
    complete = True
    for urls in members:
        # A present endpoint keeps its scheme, with which it works.
        found = [
            usable[name] for name in (parse_endpoint(url).name for url in urls) if name in usable
        ]
        complete = complete and bool(found)
        chosen.update(dict.fromkeys(found))
    if not chosen:
        return None
    return list(chosen if complete else dict.fromkeys([*present, *chosen]))


async def _sync_for_ever(reference: weakref.ref[EndpointSync]) -> None:
    failing = False
    while (sync := reference()) is not None:
        try:
            await sync.sync(None)
        except ClientError as error:
            outage = type(error) in _NO_ANSWER
            level = logging.DEBUG if failing or outage else logging.WARNING
            _log.log(level, "the endpoints stay as they are, the next try follows: %s", str(error))
            failing = failing or not outage
        else:
            failing = False
        interval = sync.interval
        del sync
        await asyncio.sleep(interval)
