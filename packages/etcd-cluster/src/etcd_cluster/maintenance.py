"""The maintenance service: what an operator asks of a member, or does to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from etcd_channel import ClientError, RevisionCompactedError, Service
from etcd_channel.arguments import check_timeout
from etcd_channel.errors import MemberNotFoundError, NotLeaderError, NotSupportedForLearnerError
from etcd_cluster._deadline import Deadline
from etcd_cluster._files import SnapshotTarget, destination
from etcd_cluster.alarms import (
    Alarm,
    AlarmType,
    alarm_request,
    ask_alarms,
    checked_alarm_type,
)
from etcd_cluster.cluster import ClusterClient
from etcd_cluster.listing import Listing
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.requests import (
    checked_member_id,
    downgrade_request,
    hash_kv_request,
    move_leader_request,
)
from etcd_cluster.results import Defragmentation, HashKV, MemberStatus, Status
from etcd_cluster.rolling import defragment_all, leader_endpoint, survey
from etcd_cluster.rpcs import (
    ALARM,
    DEFRAGMENT,
    DOWNGRADE,
    HASH,
    HASH_KV,
    MOVE_LEADER,
    SNAPSHOT,
    STATUS,
)
from etcd_cluster.snapshot import Progress, Snapshot, SnapshotCheck

__all__ = ["MaintenanceClient"]

# The leader can change again while it is looked for, but not each time.
_MOST_SEARCHES = 3


class MaintenanceClient(Service):
    """etcd's maintenance service on a channel.

    `timeout` is the number of seconds that a call may take, None the channel's; but None
    is no limit where nobody can know how long it takes: `defragment`, `snapshot`.
    `endpoint` addresses one member, as "host:port" or a client URL; None asks the one that
    the channel is at. Every call raises a `ClientError`: `UnsupportedByServerError` where
    the server is too old for it, `PermissionDeniedError` where the user is not root.
    """

    # How it is -------------------------------------------------------------------------

    async def status(self, *, timeout: float | None = None, endpoint: str | None = None) -> Status:
        """Ask a member how it is. Every member answers, also a learner, also without a leader."""
        deadline = Deadline("timeout", timeout)
        response = await self._channel.call(
            STATUS, pb.StatusRequest(), timeout=deadline.left(), endpoint=endpoint
        )
        if not response.leader:
            return Status.of(response, [])
        members = self._cluster.members
        try:
            known = await members(linearizable=False, timeout=deadline.left(), endpoint=endpoint)
        except NotSupportedForLearnerError:
            known = await members(linearizable=False, timeout=deadline.left())
        return Status.of(response, known)

    async def status_cluster(self, *, timeout: float | None = None) -> list[MemberStatus]:
        """Ask all members how they are, at once; one that does not answer says why.

        They are those of the member list as the member that the channel is at knows it,
        which a cluster without a majority gives too.
        """
        return await survey(self._cluster, Deadline("timeout", timeout))

    async def hash(self, *, timeout: float | None = None, endpoint: str | None = None) -> int:
        """Hash a member's whole database. It is for tests: members differ while they work.

        Members are compared by `hash_kv`.
        """
        request = pb.HashRequest()
        response = await self._channel.call(HASH, request, timeout=timeout, endpoint=endpoint)
        return response.hash

    async def hash_kv(
        self,
        revision: int | None = None,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> HashKV:
        """Hash the keys of a member and their history up to `revision`, None for the newest.

        To compare members, ask each for the same revision.

        Raises `RevisionCompactedError` for a revision whose history is gone, which before
        etcd 3.5.30 includes the compacted one itself, and `FutureRevisionError` for one
        that the member does not have yet.
        """
        request = hash_kv_request(revision)
        deadline = Deadline("timeout", timeout)
        try:
            response = await self._channel.call(
                HASH_KV, request, timeout=deadline.left(), endpoint=endpoint
            )
        except RevisionCompactedError as error:
            compacted = error
        else:
            return HashKV(response)
        # Only with the hash of what is left does the server say where history begins.
        try:
            response = await self._channel.call(
                HASH_KV, pb.HashKVRequest(), timeout=deadline.left(), endpoint=endpoint
            )
        except ClientError:
            compacted.compacted_revision = request.revision
        else:
            compacted.compacted_revision = max(response.compact_revision, request.revision)
        raise compacted

    # Alarms ----------------------------------------------------------------------------

    async def create_alarm(
        self,
        member_id: int = 0,
        *,
        alarm_type: str | AlarmType = "no space",
        timeout: float | None = None,
    ) -> list[Alarm]:
        """Raise an alarm for a member, 0 for all together; return what was raised.

        `alarm_type` is "no space" or "corrupt". Either stops all writes to the cluster,
        until `disarm_alarm`. Raising an alarm that is there raises no second.

        Raises `MemberNotFoundError` for an id that no member has: the server would take it.
        """
        checked_member_id("member_id", member_id, minimum=0)
        kind = checked_alarm_type(alarm_type, one=True)
        deadline = Deadline("timeout", timeout)
        if member_id:
            members = await self._cluster.members(timeout=deadline.left())
            if not any(member.id == member_id for member in members):
                raise MemberNotFoundError(f"no member of the cluster has the id {member_id}")
        return await self._change_alarm("activate", Alarm(kind, member_id), deadline)

    def list_alarms(
        self,
        member_id: int = 0,
        alarm_type: str | AlarmType = "none",
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Listing[Alarm]:
        """List the alarms that are raised.

        `await` gives a list, `async for` one after the other. With a `member_id`, those of
        that member and those that were raised for all together. `alarm_type` is "no
        space", "corrupt", or "none" for every type.
        """
        checked_member_id("member_id", member_id, minimum=0)
        kind = checked_alarm_type(alarm_type)

        async def ask() -> AsyncGenerator[Alarm, None]:
            alarms = await ask_alarms(
                self._channel, member_id, kind, timeout=timeout, endpoint=endpoint
            )
            for alarm in alarms:
                yield alarm

        return Listing(ask)

    async def disarm_alarm(
        self,
        member_id: int = 0,
        *,
        alarm_type: str | AlarmType = "no space",
        timeout: float | None = None,
    ) -> list[Alarm]:
        """Disarm the alarms of a member, 0 for everybody's; return those that were.

        Only those for lack of space: one that says that data differ is not to go by the
        way. `alarm_type` "corrupt" disarms those, "none" every type.
        """
        checked_member_id("member_id", member_id, minimum=0)
        kind = checked_alarm_type(alarm_type)
        deadline = Deadline("timeout", timeout)
        # To a server, 0 is not everybody, but the alarm that was raised with 0.
        alarms = await ask_alarms(self._channel, 0, kind, timeout=deadline.left())
        disarmed = []
        for alarm in alarms:
            if member_id in (0, alarm.member_id):
                disarmed += await self._change_alarm("deactivate", alarm, deadline)
        return disarmed

    async def _change_alarm(self, action: str, alarm: Alarm, deadline: Deadline) -> list[Alarm]:
        request = alarm_request(action, alarm.member_id, alarm.alarm_type)
        response = await self._channel.call(ALARM, request, timeout=deadline.left())
        return [Alarm(each.alarm, each.memberID) for each in response.alarms]

    # The database ----------------------------------------------------------------------

    async def defragment(
        self, *, timeout: float | None = None, endpoint: str | None = None
    ) -> None:
        """Give the free space in a member's database file back to its disk.

        The member answers nobody meanwhile, as long as its database is large. For all
        members, see `defragment_cluster`.
        """
        request = pb.DefragmentRequest()
        await self._channel.call(DEFRAGMENT, request, timeout=timeout, endpoint=endpoint)

    def defragment_cluster(
        self, *, timeout: float | None = None, health_timeout: float = 60.0
    ) -> Listing[Defragmentation]:
        """Defragment every member of the cluster, one by one, the leader last.

        `async for` reports each when all members are well again: they answer, follow one
        leader and have applied what was agreed upon when that one was done. Only then comes
        the next; leaving the loop leaves the others as they are. `await` does them all and
        gives the list. Learners are left out, for they do not serve it.

        `timeout` is the seconds that one may take, None for no limit; `health_timeout`
        those to get well again, 60.

        Raises `UnhealthyClusterError`, before the first one if not all members are well, and
        later if they do not get well in time, or whatever defragmenting one raises; no
        other is touched then.
        """
        if timeout is not None:
            check_timeout("timeout", timeout)
        check_timeout("health_timeout", health_timeout)
        return Listing(lambda: defragment_all(self._cluster, timeout, health_timeout))

    async def snapshot(
        self,
        file_obj: SnapshotTarget,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Snapshot:
        """Take a snapshot of a member's database, and say what was taken.

        `file_obj` is a path, or a binary file object, whose `write` may return an awaitable.
        Under a path there is a whole and sound snapshot or what was there before, whatever
        happens: it is written beside, synced, and takes its place at the end. A file object
        stays open, and may be left with part of a snapshot when this fails.

        `progress` is called with the bytes so far and how many there will be.

        What comes is checked against the checksum that ends it: `SnapshotDamagedError` is
        raised if it does not fit or is missing. A file that cannot be written raises its
        `OSError`, and a folder that cannot, before the server is asked. A snapshot that
        breaks off is not gone on with. Cancelling waits for the piece that is just being
        written, a megabyte at most.
        """
        target = destination(file_obj)
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be callable, not {type(progress).__name__}")
        check = SnapshotCheck()
        async with target:
            download = self._channel.download(
                SNAPSHOT, pb.SnapshotRequest(), timeout=timeout, endpoint=endpoint
            )
            async with aclosing(download) as messages:
                async for message in messages:
                    await target.write(check.add(message))
                    if progress is not None:
                        progress(check.done, check.total)
            taken = check.finish()
            await target.finish()
        return taken

    # The cluster -----------------------------------------------------------------------

    async def move_leader(
        self, member_id: int, *, timeout: float | None = None, endpoint: str | None = None
    ) -> None:
        """Let the member with this id lead, and return when it does.

        Only the leader can hand over: it is looked for, unless `endpoint` names it.

        Raises `BadLeaderTransfereeError` for an id that no member with a vote has,
        `NotLeaderError` if the member at `endpoint` does not lead, `NoLeaderError` when
        nobody does.
        """
        request = move_leader_request(member_id)
        deadline = Deadline("timeout", timeout)
        if endpoint is not None:
            await self._channel.call(
                MOVE_LEADER, request, timeout=deadline.left(), endpoint=endpoint
            )
            return
        searches = 0
        while True:
            searches += 1
            leader = await leader_endpoint(self._cluster, deadline)
            try:
                await self._channel.call(
                    MOVE_LEADER, request, timeout=deadline.left(), endpoint=leader
                )
            except NotLeaderError:
                if searches == _MOST_SEARCHES:
                    raise
            else:
                return

    async def validate_downgrade(self, version: str, *, timeout: float | None = None) -> str:
        """Ask whether the cluster can be downgraded to `version`, as "3.4".

        Returns the version that the cluster is at. Raises `InvalidDowngradeTargetError` if
        it cannot (only one minor version at a time), `WrongDowngradeVersionFormatError` for
        what is no version, `DowngradeInProcessError` while one is going on,
        `UnsupportedByServerError` before etcd 3.5.
        """
        return await self._downgrade("validate", version, timeout)

    async def enable_downgrade(self, version: str, *, timeout: float | None = None) -> str:
        """Let the members be replaced by those of `version`; return the cluster's version.

        Raises what `validate_downgrade` raises. A server of etcd 3.5 carries it out and
        does not answer: the call runs into a timeout, and `validate_downgrade` tells, by
        `DowngradeInProcessError`, that it is so.
        """
        return await self._downgrade("enable", version, timeout)

    async def cancel_downgrade(self, *, timeout: float | None = None) -> str:
        """End the downgrade that is going on; return the cluster's version.

        Raises `NoInflightDowngradeError` if there is none. What `enable_downgrade` says of
        etcd 3.5 holds here too.
        """
        return await self._downgrade("cancel", None, timeout)

    async def _downgrade(self, action: str, version: str | None, timeout: float | None) -> str:
        request = downgrade_request(action, version)
        return (await self._channel.call(DOWNGRADE, request, timeout=timeout)).version

    @property
    def _cluster(self) -> ClusterClient:
        # A client of all services is itself what its members come from.
        return self if isinstance(self, ClusterClient) else ClusterClient(self._channel)
