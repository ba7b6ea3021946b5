"""The cluster service: who is a member."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence

from etcd_channel import Service
from etcd_channel.arguments import check_flag
from etcd_channel.errors import NotFoundError
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


class ClusterClient(Service):
    """etcd's cluster service on a channel: who its members are.

    `timeout` is the number of seconds that a call may take, None the channel's. Every call
    raises a `ClientError`. No change of the members is sent twice: an error of one that is
    not `definite` leaves open whether it was made, and `members` tells.

    A cluster that is not whole takes no change: `UnhealthyClusterError` says so, also in
    its first five seconds.
    """

    def members(
        self,
        *,
        linearizable: bool = True,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Listing[Member]:
        """List the members of the cluster, also those that were added and never started.

        `await` gives a list, `async for` one after the other. The list is agreed upon by a
        majority, so it holds every change that was acknowledged; with `linearizable` False
        it is what the member that answers knows, which a cluster without a majority gives
        too. A server before etcd 3.5 gives no other. `endpoint` addresses one member.
        """
        request = pb.MemberListRequest(linearizable=check_flag("linearizable", linearizable))

        async def ask() -> AsyncGenerator[Member, None]:
            response = await self._channel.call(
                MEMBER_LIST, request, timeout=timeout, endpoint=endpoint
            )
            for member in self._made(response.members):
                yield member

        return Listing(ask)

    async def add_member(
        self, urls: Iterable[str], *, learner: bool = False, timeout: float | None = None
    ) -> Member:
        """Tell the cluster of a new member, which will be reached at the peer URLs `urls`.

        It counts from then on, before it is started (with `--initial-cluster-state
        existing`): a cluster of one loses its majority until then. A `learner` does not: it
        follows without a vote until it is promoted.

        Raises `PeerURLExistsError` for a URL that a member has, `MemberBadURLsError` for one
        that the server does not take, `TooManyLearnersError` for a second learner,
        `NotEnoughStartedMembersError` where the majority would be at risk; `ValueError`
        when `urls` is empty or holds what is no URL.
        """
        request = member_add_request(urls, learner)
        response = await self._channel.call(MEMBER_ADD, request, timeout=timeout)
        return Member.of(response.member, self)

    async def remove_member(self, member_id: int, *, timeout: float | None = None) -> list[Member]:
        """Remove a member from the cluster, and return those that remain.

        Its process ends by itself, if it runs; its data are of no use any more.

        Raises `MemberNotFoundError` for an id that no member has, and
        `NotEnoughStartedMembersError` or `UnhealthyClusterError` when those that run would
        no longer be a majority.
        """
        request = pb.MemberRemoveRequest(ID=checked_member_id("member_id", member_id))
        response = await self._channel.call(MEMBER_REMOVE, request, timeout=timeout)
        return self._made(response.members)

    async def update_member(
        self, member_id: int, peer_urls: Iterable[str], *, timeout: float | None = None
    ) -> list[Member]:
        """Tell the cluster that a member is reached at `peer_urls`; return all members.

        Not for a learner: etcd (3.4 and 3.5) lists it as a member with a vote from then on,
        which it has not, and promotes it no more. Remove and add it instead.

        Raises `MemberNotFoundError`, and for the URLs what `add_member` raises.
        """
        request = member_update_request(member_id, peer_urls)
        response = await self._channel.call(MEMBER_UPDATE, request, timeout=timeout)
        return self._made(response.members)

    async def promote_member(self, member_id: int, *, timeout: float | None = None) -> list[Member]:
        """Give a learner a vote, and return all members.

        Raises `LearnerNotReadyError` as long as it is behind the leader (etcd wants nine
        tenths of the leader's log), `MemberNotLearnerError` when it has a vote already,
        `MemberNotFoundError` for an id that no member has.
        """
        request = pb.MemberPromoteRequest(ID=checked_member_id("member_id", member_id))
        response = await self._channel.call(MEMBER_PROMOTE, request, timeout=timeout)
        return self._made(response.members)

    async def sync_endpoints(self, *, timeout: float | None = None) -> tuple[str, ...]:
        """Let the channel's endpoints be the client URLs of the members; return them.

        Learners are left out, for they serve no calls, and so are members that were never
        started. Calls that are under way end where they began; what is open for long, as
        watches and keep-alives, moves off a member that is no more. The cluster must
        advertise URLs that can be reached from here.

        Raises `NotFoundError` when no member advertises any, and `ValueError`, as `Channel`
        does, for URLs that the channel's TLS forbids; the endpoints stay as they were then.
        """
        members = await self.members(timeout=timeout)
        urls = [url for member in members if not member.is_learner for url in member.endpoints]
        if not urls:
            raise NotFoundError("no member of the cluster advertises a client URL")
        self._channel.set_endpoints(urls)
        return self._channel.endpoints

    def _made(self, messages: Sequence[pb.Member]) -> list[Member]:
        return [Member.of(message, self) for message in messages]
