"""Operations on all members of a cluster: status, the leader, rolling defragmentation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence

from etcd_channel import ClientError, ConnectionFailedError, ConnectionTimeoutError
from etcd_channel.deadline import Deadline
from etcd_channel.errors import NoLeaderError, NotFoundError, UnhealthyClusterError
from etcd_cluster.cluster import ClusterClient
from etcd_cluster.members import Member, endpoint_name
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.results import Defragmentation, MemberStatus, Status
from etcd_cluster.rpcs import DEFRAGMENT, STATUS

__all__ = ["defragment_all", "leader_endpoint", "survey"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Seconds for the status of one member, so that a silent member does not use up the whole deadline.
_MAX_STATUS_TIMEOUT = 3.0


async def survey(client: ClusterClient, deadline: Deadline) -> list[MemberStatus]:
    """Ask all members for their status at the same time; return it in the order of the member list.

    The channel's endpoints are called first, because the caller can reach them; a URL that a
    member advertises is called only if none of the endpoints belongs to that member.
    """
    channel = client.channel
    members = await client.members(linearizable=False, timeout=deadline.timeout())
    found: dict[int, MemberStatus] = {}
    failed: dict[str, ClientError] = {}

    async def ask(endpoint: str) -> None:
        timeout = deadline.timeout(min(_MAX_STATUS_TIMEOUT, channel.timeout))
        try:
            response = await channel.call(
                STATUS, pb.StatusRequest(), timeout=timeout, endpoint=endpoint
            )
        except ClientError as error:
            failed[endpoint_name(endpoint)] = error
        except ValueError as error:
            # The channel's TLS does not allow the URL that the member advertises.
            failed[endpoint_name(endpoint)] = ConnectionFailedError(str(error), definite=True)
        else:
            status = Status.of(response, members)
            for member in members:
                if member.id == status.header.member_id:
                    found.setdefault(member.id, MemberStatus(member, endpoint, status))

    asked = channel.endpoints
    await asyncio.gather(*map(ask, asked))
    missing = [member for member in members if member.id not in found]
    others = {endpoint_name(url): url for member in missing for url in member.endpoints}
    await asyncio.gather(*(ask(url) for name, url in others.items() if name not in asked))
    return [found.get(member.id) or _unreached(member, failed) for member in members]


def _unreached(member: Member, failed: Mapping[str, ClientError]) -> MemberStatus:
    endpoint = member.endpoint
    if endpoint is None:
        error: ClientError = NotFoundError(
            "the member advertises no client URL, or was never started"
        )
    else:
        failure = failed.get(endpoint_name(endpoint))
        error = failure or NotFoundError(f"another member answers at {endpoint}")
    return MemberStatus(member, endpoint, error=error)


async def leader_endpoint(client: ClusterClient, deadline: Deadline) -> str:
    """Return the endpoint of the leader; raise `NoLeaderError` if none can be found."""
    channel = client.channel
    response = await channel.call(STATUS, pb.StatusRequest(), timeout=deadline.timeout())
    members = await client.members(linearizable=False, timeout=deadline.timeout())
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
    """Defragment every voting member, the leader last, each one only while all are healthy."""
    reports = await survey(client, Deadline.of("health_timeout", health_timeout))
    problems = _problems(reports)
    if problems:
        raise UnhealthyClusterError(
            f"nothing was defragmented, because not all members are healthy: {'; '.join(problems)}",
            definite=True,
        )
    todo = {report.member.id for report in reports if not report.member.is_learner}
    while todo:
        before = _next(reports, todo)
        if before is None:
            return  # the remaining members were removed from the cluster meanwhile
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
        # The caller may have continued the iteration after a while.
        if todo:
            reports = await _recovered(client, member, health_timeout)


def _next(reports: Sequence[MemberStatus], todo: set[int]) -> MemberStatus | None:
    """Return the next member to defragment: the leader only if it is the last one."""
    left = [report for report in reports if report.member.id in todo]
    left.sort(key=lambda report: report.member.id == (report.status and report.status.leader_id))
    return left[0] if left else None


async def _recovered(
    client: ClusterClient, member: Member, health_timeout: float
) -> list[MemberStatus]:
    """Wait until all members are healthy, and have applied the log up to its current end.

    The status of the members is polled, because etcd has no event for this.
    """
    deadline = Deadline.of("health_timeout", health_timeout)
    pause = _FIRST_PAUSE
    target_index = None
    while True:
        try:
            reports = await survey(client, deadline)
        except (ConnectionFailedError, ConnectionTimeoutError) as error:
            problems = [str(error)]
        else:
            indexes = [report.status.raft_index for report in reports if report.status]
            if target_index is None and indexes:
                target_index = max(indexes)
            problems = _problems(reports, target_index or 0)
            if not problems:
                return reports
        if deadline.passed:
            raise UnhealthyClusterError(
                f"{_name(member)} was defragmented, and {health_timeout} s later not all members"
                f" are healthy: {'; '.join(problems)}",
                definite=False,
            )
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _problems(reports: Sequence[MemberStatus], target_index: int = 0) -> list[str]:
    """Return the problems of the members; none if all answer, follow one leader and keep up."""
    leaders = {report.status.leader_id for report in reports if report.status}
    if len(leaders) > 1:
        return ["the members do not agree on the leader"]
    found = []
    for report in reports:
        status = report.status
        if status is None:
            found.append(f"{_name(report.member)} does not answer: {report.error}")
        elif not status.leader_id:
            found.append(f"{_name(report.member)} knows of no leader")
        elif status.raft_applied_index < target_index:
            found.append(
                f"{_name(report.member)} has applied {status.raft_applied_index} of {target_index}"
                " log entries"
            )
    return found


def _name(member: Member) -> str:
    return f"member {member.name or 'without a name'} ({member.id:x})"
