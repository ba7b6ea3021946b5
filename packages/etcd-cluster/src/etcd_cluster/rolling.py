"""The whole cluster, one member after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence

from etcd_channel import ClientError, ConnectionFailedError, ConnectionTimeoutError
from etcd_channel.errors import NoLeaderError, NotFoundError, UnhealthyClusterError
from etcd_cluster._deadline import Deadline
from etcd_cluster.cluster import ClusterClient
from etcd_cluster.members import Member, endpoint_name
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.results import Defragmentation, MemberStatus, Status
from etcd_cluster.rpcs import DEFRAGMENT, STATUS

__all__ = ["defragment_all", "leader_endpoint", "survey"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# A member that stays silent must not take all the time that there is to get well.
_MOST_FOR_ONE = 3.0


async def survey(client: ClusterClient, deadline: Deadline) -> list[MemberStatus]:
    """Ask every member how it is, all at once; the answers are in the order of the list.

    The channel's endpoints are asked first, for the caller can reach them; an address that
    a member advertises only where none of them is that member's.
    """
    channel = client.channel
    members = await client.members(linearizable=False, timeout=deadline.left())
    found: dict[int, MemberStatus] = {}
    failed: dict[str, ClientError] = {}

    async def ask(endpoint: str) -> None:
        timeout = deadline.left(min(_MOST_FOR_ONE, channel.timeout))
        try:
            response = await channel.call(
                STATUS, pb.StatusRequest(), timeout=timeout, endpoint=endpoint
            )
        except ClientError as error:
            failed[endpoint_name(endpoint)] = error
        except ValueError as error:
            # The channel's TLS does not go with what the member advertises.
            failed[endpoint_name(endpoint)] = ConnectionFailedError(str(error), definite=True)
        else:
            status = Status.of(response, members)
            for member in members:
                if member.id == status.header.member_id:
                    found.setdefault(member.id, MemberStatus(member, endpoint, status))

    asked = channel.endpoints
    await asyncio.gather(*map(ask, asked))
    lost = [member for member in members if member.id not in found]
    others = {endpoint_name(url): url for member in lost for url in member.endpoints}
    await asyncio.gather(*(ask(url) for name, url in others.items() if name not in asked))
    return [found.get(member.id) or _unreached(member, failed) for member in members]


def _unreached(member: Member, failed: Mapping[str, ClientError]) -> MemberStatus:
    endpoint = member.endpoint
    if endpoint is None:
        error: ClientError = NotFoundError("the member advertises no address, or was not started")
    else:
        failure = failed.get(endpoint_name(endpoint))
        error = failure or NotFoundError(f"another member answers at {endpoint}")
    return MemberStatus(member, endpoint, error=error)


async def leader_endpoint(client: ClusterClient, deadline: Deadline) -> str:
    """Find where the leader is asked; raise `NoLeaderError` if there is none to be found."""
    channel = client.channel
    response = await channel.call(STATUS, pb.StatusRequest(), timeout=deadline.left())
    members = await client.members(linearizable=False, timeout=deadline.left())
    leader = next((member for member in members if member.id == response.leader), None)
    if leader is None:
        raise NoLeaderError("the cluster has no leader now", definite=True)
    for endpoint in leader.endpoints:
        if endpoint_name(endpoint) in channel.endpoints:
            return endpoint
    for report in await survey(client, deadline):
        if report.member.id == leader.id and report.endpoint is not None and report.status:
            return report.endpoint
    raise NoLeaderError(f"the leader, {_name(leader)}, cannot be reached", definite=True)


async def defragment_all(
    client: ClusterClient, timeout: float | None, health_timeout: float
) -> AsyncGenerator[Defragmentation, None]:
    """Defragment every member that votes, the leader last, each only when all are well."""
    reports = await survey(client, Deadline("health_timeout", health_timeout))
    ill = _complaints(reports)
    if ill:
        raise UnhealthyClusterError(
            f"nothing was defragmented, for not all members are well: {'; '.join(ill)}",
            definite=True,
        )
    todo = {report.member.id for report in reports if not report.member.is_learner}
    while todo:
        before = _next(reports, todo)
        if before is None:
            return  # Those that are left were removed meanwhile.
        member, endpoint = before.member, before.endpoint
        assert before.status is not None
        assert endpoint is not None
        todo.discard(member.id)
        begun = time.monotonic()
        await client.channel.call(
            DEFRAGMENT, pb.DefragmentRequest(), timeout=timeout, endpoint=endpoint
        )
        seconds = time.monotonic() - begun
        reports = await _recovered(client, member, health_timeout)
        after = next((each for each in reports if each.member.id == member.id), before)
        assert after.status is not None
        yield Defragmentation(
            member, endpoint, seconds, before.status.db_size, after.status.db_size
        )
        # Whoever was told of it may have taken his time.
        if todo:
            reports = await _recovered(client, member, health_timeout)


def _next(reports: Sequence[MemberStatus], todo: set[int]) -> MemberStatus | None:
    """The next of those to do: one that does not lead, as long as there is one."""
    left = [report for report in reports if report.member.id in todo]
    left.sort(key=lambda report: report.member.id == (report.status and report.status.leader_id))
    return left[0] if left else None


async def _recovered(
    client: ClusterClient, member: Member, health_timeout: float
) -> list[MemberStatus]:
    """Wait until all members are well, and have applied what was agreed upon by now.

    That is nothing that a member tells of by itself: it is asked, again and again.
    """
    deadline = Deadline("health_timeout", health_timeout)
    pause = _FIRST_PAUSE
    agreed = None
    while True:
        try:
            reports = await survey(client, deadline)
        except (ConnectionFailedError, ConnectionTimeoutError) as error:
            ill = [str(error)]
        else:
            indexes = [report.status.raft_index for report in reports if report.status]
            if agreed is None and indexes:
                agreed = max(indexes)
            ill = _complaints(reports, agreed or 0)
            if not ill:
                return reports
        if deadline.passed:
            raise UnhealthyClusterError(
                f"{_name(member)} was defragmented, and {health_timeout} s later not all members"
                f" are well: {'; '.join(ill)}",
                definite=False,
            )
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _complaints(reports: Sequence[MemberStatus], agreed: int = 0) -> list[str]:
    """What is wrong with whom; nothing, if all answer, follow one leader and keep up."""
    leaders = {report.status.leader_id for report in reports if report.status}
    if len(leaders) > 1:
        return ["the members do not agree who leads"]
    found = []
    for report in reports:
        status = report.status
        if status is None:
            found.append(f"{_name(report.member)} does not answer: {report.error}")
        elif not status.leader_id:
            found.append(f"{_name(report.member)} knows of no leader")
        elif status.raft_applied_index < agreed:
            found.append(
                f"{_name(report.member)} is at {status.raft_applied_index} of {agreed}"
                " of what it has to apply"
            )
    return found


def _name(member: Member) -> str:
    return f"member {member.name or 'without a name'} ({member.id:x})"
