"""`Member` and `ClusterClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Iterable

import etcd_client
from etcd_client import Alarm
from etcd_sync._handle import Handle, Service

__all__ = ["ClusterClient", "Member"]


class Member(Handle):
    """A member of the etcd cluster, as it was when it was read.

    Members are equal if all their fields are equal; the client that returned them does not count.
    `update` and `promote` change the object too. The hash is that of the id, which never changes.
    """

    _inner: etcd_client.Member

    @property
    def name(self) -> str:
        """The name of the member; empty until it is started for the first time."""
        return self._inner.name

    @property
    def peer_urls(self) -> list[str]:
        """The URLs at which the other members reach it."""
        return self._inner.peer_urls

    @property
    def client_urls(self) -> list[str]:
        """The URLs at which clients reach it; empty until it is started for the first time."""
        return self._inner.client_urls

    @property
    def is_learner(self) -> bool:
        """Whether it is a learner: it has no vote, and serves only `status`."""
        return self._inner.is_learner

    @property
    def id(self) -> int:
        """The member's id."""
        return self._inner.id

    def __hash__(self) -> int:
        return self._portal.call(self._inner.__hash__)

    @property
    def endpoints(self) -> list[str]:
        """The client URLs that a client accepts: all except etcd's form of unix sockets."""
        return self._inner.endpoints

    @property
    def endpoint(self) -> str | None:
        """The first of its endpoints, for `client.status(endpoint=…)`; None if it has none.

        The member advertises it (`--advertise-client-urls`); it may not be reachable from here.
        Note that `status(endpoint=None)` may be answered by any member.
        """
        return self._inner.endpoint

    def remove(self, *, timeout: float | None = None) -> None:
        """Remove this member from the cluster.

        Raises as `ClusterClient.remove_member` does.
        """
        self._portal.run(self._inner.remove, timeout=timeout)

    def update(self, peer_urls: Iterable[str], *, timeout: float | None = None) -> None:
        """Change the peer URLs of this member, and of this object, to `peer_urls`.

        Raises as `ClusterClient.update_member` does; this object is unchanged then.
        """
        self._portal.run(self._inner.update, peer_urls, timeout=timeout)

    def promote(self, *, timeout: float | None = None) -> None:
        """Promote this learner to a voting member.

        Raises as `ClusterClient.promote_member` does.
        """
        self._portal.run(self._inner.promote, timeout=timeout)

    def active_alarms(self, *, timeout: float | None = None) -> list[Alarm]:
        """Return the active alarms of this member, and those raised for all members together."""
        return self._portal.run(self._inner.active_alarms, timeout=timeout)


class ClusterClient(Service):
    """etcd's cluster service: the members of the cluster.

    `timeout` is the number of seconds that a method may take; None means the client's timeout. A
    method that fails raises a `ClientError`. Changes of the members are not repeated: after an
    error that is not `definite`, and after an interruption, the change may have been made;
    `members` shows it.

    While a member is down, and in the first five seconds of a cluster, changes raise
    `UnhealthyClusterError`.

    A change takes two calls. etcd silently drops a change that reaches the leader before it has
    applied the previous one, and the call then takes its whole timeout. The alarms are therefore
    read first: that read goes through the same log, and is answered after the previous change.
    """

    _inner: etcd_client.Client

    def members(
        self,
        *,
        linearizable: bool = True,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> list[Member]:
        """List the members of the cluster, including those that were never started.

        The list is confirmed by a majority, so it contains every acknowledged change. With
        `linearizable=False`, and always before etcd 3.5, it is the list of the member that answers,
        which needs no majority. `endpoint` addresses one member.
        """
        return [
            Member._of(self._portal, each)
            for each in self._portal.run(
                self._inner.members, linearizable=linearizable, timeout=timeout, endpoint=endpoint
            )
        ]

    def add_member(
        self, urls: Iterable[str], *, learner: bool = False, timeout: float | None = None
    ) -> Member:
        """Add a member with the peer URLs `urls`; return it.

        The new member counts towards the majority even before it is started (with
        `--initial-cluster-state existing`): a cluster of one member has no majority until then. A
        `learner` does not count: it has no vote until it is promoted.

        Raises `PeerURLExistsError` for a URL of another member, `MemberBadURLsError` for a URL that
        the server refuses, `TooManyLearnersError` for a second learner,
        `NotEnoughStartedMembersError` if the majority would be at risk, and `ValueError` if `urls`
        is empty or contains an invalid URL.
        """
        return Member._of(
            self._portal,
            self._portal.run(self._inner.add_member, urls, learner=learner, timeout=timeout),
        )

    def remove_member(self, member_id: int, *, timeout: float | None = None) -> list[Member]:
        """Remove a member from the cluster, and return the remaining members.

        A running member exits by itself; its data cannot be used again.

        Raises `MemberNotFoundError` for an id that no member has, and
        `NotEnoughStartedMembersError` or `UnhealthyClusterError` if the running members would no
        longer be a majority.
        """
        return [
            Member._of(self._portal, each)
            for each in self._portal.run(self._inner.remove_member, member_id, timeout=timeout)
        ]

    def update_member(
        self, member_id: int, peer_urls: Iterable[str], *, timeout: float | None = None
    ) -> list[Member]:
        """Change the peer URLs of a member to `peer_urls`; return all members.

        Do not use it for a learner: etcd 3.4 and 3.5 then list it as a voting member, although it
        has no vote, and refuse to promote it. Remove the learner and add it again instead.

        Raises `MemberNotFoundError` for an id that no member has, and the errors of `add_member`
        for the URLs.
        """
        return [
            Member._of(self._portal, each)
            for each in self._portal.run(
                self._inner.update_member, member_id, peer_urls, timeout=timeout
            )
        ]

    def promote_member(self, member_id: int, *, timeout: float | None = None) -> list[Member]:
        """Promote a learner to a voting member, and return all members.

        Raises `LearnerNotReadyError` while it is too far behind the leader (etcd requires 90 % of
        the leader's log), `MemberNotLearnerError` if it is a voting member already,
        `MemberNotFoundError` for an id that no member has.
        """
        return [
            Member._of(self._portal, each)
            for each in self._portal.run(self._inner.promote_member, member_id, timeout=timeout)
        ]

    def sync_endpoints(self, *, timeout: float | None = None) -> tuple[str, ...]:
        """Set the client's endpoints to the client URLs of the members; return the endpoints.

        Learners and members that were never started are left out. A URL becomes an endpoint only if
        a member of the same cluster answers there, because members may advertise URLs that cannot
        be reached from here. Present endpoints that no member advertises are removed, but only if
        every member is reached. An `SRV` is replaced: its records are not looked up again. Calls in
        flight end at their member; the streams of watches and keep-alives leave a member that is no
        longer among the endpoints.

        Raises `NotFoundError` if no member advertises a client URL or answers at one, and the
        errors of `members`. The endpoints are unchanged then. If no endpoint answers, the list is
        read from those that the client had before the first call of this method.
        """
        return self._portal.run(self._inner.sync_endpoints, timeout=timeout)

    def sync_endpoints_every(self, interval: float) -> None:
        """Call `sync_endpoints` from now on every `interval` seconds, until the client is closed.

        It begins with the first use of the client, and at once if it is in use. A failure changes
        nothing and is tried again after the interval; the first one in a row is logged as a
        warning, unless it is that no member answers, which is logged as an outage. Another call
        changes the interval, from the next pause on.

        Raises `TypeError` or `ValueError` if the interval is not a positive number.
        """
        self._portal.call(self._inner.sync_endpoints_every, interval)
