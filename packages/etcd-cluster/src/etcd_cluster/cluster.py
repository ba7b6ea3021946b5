"""The cluster service: the members of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from etcd_channel import ClientError, Rpc, Service
from etcd_channel.arguments import check_flag, check_timeout
from etcd_cluster._endpoint_sync import EndpointSync
from etcd_cluster.alarms import ask_alarms
from etcd_cluster.listing import Listing
from etcd_cluster.members import Member
from etcd_cluster.pb import cluster_pb2 as pb
from etcd_cluster.requests import (
    checked_member_id,
    member_add_request,
    member_update_request,
)
from etcd_cluster.rpcs import (
    MEMBER_ADD,
    MEMBER_LIST,
    MEMBER_PROMOTE,
    MEMBER_REMOVE,
    MEMBER_UPDATE,
)

__all__ = ["ClusterClient"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class ClusterClient(Service):
    """etcd's cluster service on a channel: the members of the cluster.

    `timeout` is the number of seconds that a method may take; None means the channel's timeout.
    A method that fails raises a `ClientError`. Changes of the members are not repeated: after an
    error that is not `definite`, and after a cancellation, the change may have been made;
    `members` shows it.

    While a member is down, and in the first five seconds of a cluster, changes raise
    `UnhealthyClusterError`.

    A change takes two calls. etcd silently drops a change that reaches the leader before it has
    applied the previous one, and the call then takes its whole timeout. The alarms are therefore
    read first: that read goes through the same log, and is answered after the previous change.
    """

    def members(
        self,
        *,
        linearizable: bool = True,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Listing[Member]:
        """List the members of the cluster, including those that were never started.

        `await` returns a list, `async for` iterates. The list is confirmed by a majority, so it
        contains every acknowledged change. With `linearizable=False`, and always before etcd 3.5,
        it is the list of the member that answers, which needs no majority. `endpoint` addresses
        one member.
        """
        request = pb.MemberListRequest(linearizable=check_flag("linearizable", linearizable))

        async def ask() -> AsyncGenerator[Member, None]:
            response = await self._channel.call(
                MEMBER_LIST, request, timeout=timeout, endpoint=endpoint
            )
            for member in self._members_from(response.members):
                yield member

        return Listing("members", ask)

    async def add_member(
        self, urls: Iterable[str], *, learner: bool = False, timeout: float | None = None
    ) -> Member:
        """Add a member with the peer URLs `urls`; return it.

        The new member counts towards the majority even before it is started (with
        `--initial-cluster-state existing`): a cluster of one member has no majority until then. A
        `learner` does not count: it has no vote until it is promoted.

        Raises `PeerURLExistsError` for a URL of another member, `MemberBadURLsError` for a URL
        that the server refuses, `TooManyLearnersError` for a second learner,
        `NotEnoughStartedMembersError` if the majority would be at risk, and `ValueError` if
        `urls` is empty or contains an invalid URL.
        """
        request = member_add_request(urls, learner)
        response = await self._change(MEMBER_ADD, request, timeout)
        return Member.of(response.member, self)

    async def remove_member(self, member_id: int, *, timeout: float | None = None) -> list[Member]:
        """Remove a member from the cluster, and return the remaining members.

        A running member exits by itself; its data cannot be used again.

        Raises `MemberNotFoundError` for an id that no member has, and
        `NotEnoughStartedMembersError` or `UnhealthyClusterError` if the running members would
        no longer be a majority.
        """
        request = pb.MemberRemoveRequest(ID=checked_member_id("member_id", member_id))
        response = await self._change(MEMBER_REMOVE, request, timeout)
        return self._members_from(response.members)

    async def update_member(
        self, member_id: int, peer_urls: Iterable[str], *, timeout: float | None = None
    ) -> list[Member]:
        """Change the peer URLs of a member to `peer_urls`; return all members.

        Do not use it for a learner: etcd 3.4 and 3.5 then list it as a voting member, although it
        has no vote, and refuse to promote it. Remove the learner and add it again instead.

        Raises `MemberNotFoundError` for an id that no member has, and the errors of `add_member`
        for the URLs.
        """
        request = member_update_request(member_id, peer_urls)
        response = await self._change(MEMBER_UPDATE, request, timeout)
        return self._members_from(response.members)

    async def promote_member(self, member_id: int, *, timeout: float | None = None) -> list[Member]:
        """Promote a learner to a voting member, and return all members.

        Raises `LearnerNotReadyError` while it is too far behind the leader (etcd requires 90 % of
        the leader's log), `MemberNotLearnerError` if it is a voting member already,
        `MemberNotFoundError` for an id that no member has.
        """
        request = pb.MemberPromoteRequest(ID=checked_member_id("member_id", member_id))
        response = await self._change(MEMBER_PROMOTE, request, timeout)
        return self._members_from(response.members)

    async def sync_endpoints(self, *, timeout: float | None = None) -> tuple[str, ...]:
        """Set the channel's endpoints to the client URLs of the members; return the endpoints.

        Learners and members that were never started are left out. A URL becomes an endpoint only
        if a member of the same cluster answers there, because members may advertise URLs that
        cannot be reached from here. Present endpoints that no member advertises are removed, but
        only if every member is reached. An `SRV` is replaced: its records are not looked up again.
        Calls in flight end at their member; the streams of watches and keep-alives leave a member
        that is no longer among the endpoints.

        Raises `NotFoundError` if no member advertises a client URL or answers at one, and the
        errors of `members`. The endpoints are unchanged then. If no endpoint answers, the list is
        read from those that the channel had before the first call of this method.
        """
        return await self._channel.shared(EndpointSync).sync(timeout)

    def sync_endpoints_every(self, interval: float) -> None:
        """Call `sync_endpoints` from now on every `interval` seconds, until the channel is closed.

        It begins with the first use of the channel, and at once if it is in use. A failure changes
        nothing and is tried again after the interval; the first one in a row is logged as a
        warning, unless it is that no member answers, which is logged as an outage. Another call
        changes the interval, from the next pause on.

        Raises `TypeError` or `ValueError` if the interval is not a positive number.
        """
        interval = check_timeout("interval", interval)
        self._channel.shared(EndpointSync).sync_every(interval)

    async def _change(
        self, rpc: Rpc[RequestT, ResponseT], request: RequestT, timeout: float | None
    ) -> ResponseT:
        """Send a change of the members after all earlier changes have been applied."""
        deadline = self._deadline(timeout)
        # If this read fails, the change fails too, with a better error; the read may use half of
        # the time.
        with contextlib.suppress(ClientError):
            await ask_alarms(self._channel, timeout=(deadline.timeout(self._channel.timeout)) / 2)
        return await self._channel.call(rpc, request, timeout=deadline.timeout())

    def _members_from(self, messages: Sequence[pb.Member]) -> list[Member]:
        return [Member.of(message, self) for message in messages]
