"""The maintenance service: status, alarms, defragmentation, snapshots, leadership, downgrades."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from etcd_channel import ClientError, RevisionCompactedError, Service
from etcd_channel.arguments import check_callback, check_timeout
from etcd_channel.deadline import Deadline
from etcd_channel.errors import MemberNotFoundError, NotLeaderError, NotSupportedForLearnerError
from etcd_cluster._files import SnapshotTarget, destination
from etcd_cluster.alarms import (
    Alarm,
    AlarmName,
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

# How often to look for the leader, which may change before the call reaches it.
_MAX_SEARCHES = 3


class MaintenanceClient(Service):
    """etcd's maintenance service on a channel.

    `timeout` is the number of seconds that a method may take, however many calls it makes; None
    means the channel's timeout, but no limit for `defragment` and `snapshot`, which take long
    with a large database. `endpoint` addresses one member, as "host:port" or a client URL; None
    asks the member that the channel is connected to. A method that fails raises a `ClientError`:
    `UnsupportedByServerError` if the server is too old for the call, `PermissionDeniedError` if
    the user is not root.
    """

    # Status ----------------------------------------------------------------------------

    async def status(self, *, timeout: float | None = None, endpoint: str | None = None) -> Status:
        """Return the status of a member; learners and members without a leader answer too."""
        deadline = self._deadline(timeout)
        response = await self._channel.call(
            STATUS, pb.StatusRequest(), timeout=deadline.timeout(), endpoint=endpoint
        )
        if not response.leader:
            return Status.of(response, [])
        members = self._cluster.members
        try:
            known = await members(linearizable=False, timeout=deadline.timeout(), endpoint=endpoint)
        except NotSupportedForLearnerError:
            known = await members(linearizable=False, timeout=deadline.timeout())
        return Status.of(response, known)

    async def status_cluster(self, *, timeout: float | None = None) -> list[MemberStatus]:
        """Ask all members for their status at the same time; return a status or an error for each.

        The members are those in the list of the member that the channel is connected to, which
        needs no majority to answer.
        """
        return await survey(self._cluster, self._deadline(timeout))

    async def hash(self, *, timeout: float | None = None, endpoint: str | None = None) -> int:
        """Return the hash of a member's whole database. For tests of etcd only.

        It differs between the members of a healthy cluster: compare them by `hash_kv`.
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
        """Return the hash of a member's keys and their history up to `revision`.

        None means the newest revision. To compare members, pass the same revision for each.

        Raises `RevisionCompactedError` for a revision that was compacted, which before etcd
        3.5.30 includes the compacted revision itself, and `FutureRevisionError` for one that
        the member does not have yet.
        """
        request = hash_kv_request(revision)
        deadline = self._deadline(timeout)
        try:
            response = await self._channel.call(
                HASH_KV, request, timeout=deadline.timeout(), endpoint=endpoint
            )
        except RevisionCompactedError as error:
            compacted = error
        else:
            return HashKV.from_message(response)
        # Only the answer for the newest revision contains the compacted one.
        try:
            response = await self._channel.call(
                HASH_KV, pb.HashKVRequest(), timeout=deadline.timeout(), endpoint=endpoint
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
        alarm_type: Literal["no space", "corrupt"] | AlarmType = "no space",
        timeout: float | None = None,
    ) -> list[Alarm]:
        """Raise an alarm for a member, 0 for all members together; return the raised alarms.

        `alarm_type` is "no space" or "corrupt". Both stop all writes to the cluster until
        `disarm_alarm`. Raising the same alarm again has no effect.

        Raises `MemberNotFoundError` for an id that no member has; the server would accept it.
        """
        checked_member_id("member_id", member_id, minimum=0)
        kind = checked_alarm_type(alarm_type, one=True)
        deadline = self._deadline(timeout)
        if member_id:
            members = await self._cluster.members(timeout=deadline.timeout())
            if not any(member.id == member_id for member in members):
                raise MemberNotFoundError(f"no member of the cluster has the id {member_id}")
        return await self._change_alarm("activate", Alarm(kind, member_id), deadline)

    def list_alarms(
        self,
        member_id: int = 0,
        alarm_type: AlarmName | AlarmType = "none",
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Listing[Alarm]:
        """List the active alarms.

        `await` returns a list, `async for` iterates. A `member_id` selects the alarms of that
        member and those raised for all members together; 0 selects all. `alarm_type` is
        "no space", "corrupt", or "none" for every type.
        """
        checked_member_id("member_id", member_id, minimum=0)
        kind = checked_alarm_type(alarm_type)

        async def ask() -> AsyncGenerator[Alarm, None]:
            alarms = await ask_alarms(
                self._channel, member_id, kind, timeout=timeout, endpoint=endpoint
            )
            for alarm in alarms:
                yield alarm

        return Listing("alarms", ask)

    async def disarm_alarm(
        self,
        member_id: int = 0,
        *,
        alarm_type: AlarmName | AlarmType = "no space",
        timeout: float | None = None,
    ) -> list[Alarm]:
        """Disarm the alarms of a member, 0 for all members; return the disarmed alarms.

        `alarm_type` is "no space", "corrupt", or "none" for every type. The default leaves alarms
        for corrupt data armed, which should not be disarmed by accident.
        """
        checked_member_id("member_id", member_id, minimum=0)
        kind = checked_alarm_type(alarm_type)
        deadline = self._deadline(timeout)
        # The server takes 0 as the alarm that was raised with 0, not as all alarms.
        alarms = await ask_alarms(self._channel, 0, kind, timeout=deadline.timeout())
        disarmed = []
        for alarm in alarms:
            if member_id in (0, alarm.member_id):
                disarmed += await self._change_alarm("deactivate", alarm, deadline)
        return disarmed

    async def _change_alarm(self, action: str, alarm: Alarm, deadline: Deadline) -> list[Alarm]:
        request = alarm_request(action, alarm.member_id, alarm.alarm_type)
        response = await self._channel.call(ALARM, request, timeout=deadline.timeout())
        return [Alarm(each.alarm, each.memberID) for each in response.alarms]

    # The database ----------------------------------------------------------------------

    async def defragment(
        self, *, timeout: float | None = None, endpoint: str | None = None
    ) -> None:
        """Return the free space in a member's database file to the file system.

        The member answers no other call meanwhile, which takes long with a large database. See
        `defragment_cluster` for all members. After a cancellation or an error that is not
        `definite` the member may still be defragmenting.
        """
        request = pb.DefragmentRequest()
        await self._channel.call(DEFRAGMENT, request, timeout=timeout, endpoint=endpoint)

    def defragment_cluster(
        self, *, timeout: float | None = None, health_timeout: float = 60.0
    ) -> Listing[Defragmentation]:
        """Defragment every member of the cluster, one after the other, the leader last.

        `async for` yields each member after its defragmentation, once all members are healthy
        again: they answer, follow the same leader and have applied the log up to where it was
        when the defragmentation ended. Then it continues with the next member; leaving the loop
        skips the rest. `await` defragments all members and returns the list. Learners are
        skipped, because they do not support it.

        `timeout` is the number of seconds that the defragmentation of one member may take, None
        means no limit; `health_timeout` is the number of seconds within which all members must be
        healthy again.

        Raises `UnhealthyClusterError` if not all members are healthy at the start, or not in time
        after a defragmentation, and any error of a defragmentation; the remaining members are not
        defragmented then.
        """
        if timeout is not None:
            check_timeout("timeout", timeout)
        check_timeout("health_timeout", health_timeout)
        return Listing(
            "defragmentations", lambda: defragment_all(self._cluster, timeout, health_timeout)
        )

    async def snapshot(
        self,
        file_obj: SnapshotTarget,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Snapshot:
        """Save a snapshot of a member's database; return its size and checksum.

        `file_obj` is a path, or a binary file object, whose `write` may return an awaitable.
        Its `flush`, if it has one, is called at the end.
        A path never contains part of a snapshot: the snapshot is written to a file beside it,
        synced, and renamed at the end. A file object stays open, and may contain part of a
        snapshot if this raises or is cancelled.

        `progress` is called with the number of bytes so far and the total; it is not awaited.

        Raises `SnapshotDamagedError` if the checksum at the end of the snapshot is missing or
        does not match, and `OSError` if the file cannot be written; a directory that is not
        writable is detected before the server is asked. An interrupted snapshot is not resumed.
        A cancellation waits for the block that is being written, at most a megabyte.
        """
        target = destination(file_obj)
        if progress is not None:
            check_callback("progress", progress)
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
        """Transfer the leadership to the member with this id; return when it leads.

        The current leader serves this call; it is looked up unless `endpoint` addresses it.

        Raises `BadLeaderTransfereeError` for an id that no voting member has, `NotLeaderError`
        if the member at `endpoint` is not the leader, `NoLeaderError` if there is no leader or it
        cannot be reached.
        """
        request = move_leader_request(member_id)
        deadline = self._deadline(timeout)
        if endpoint is not None:
            await self._channel.call(
                MOVE_LEADER, request, timeout=deadline.timeout(), endpoint=endpoint
            )
            return
        searches = 0
        while True:
            searches += 1
            leader = await leader_endpoint(self._cluster, deadline)
            try:
                await self._channel.call(
                    MOVE_LEADER, request, timeout=deadline.timeout(), endpoint=leader
                )
            except NotLeaderError:
                if searches == _MAX_SEARCHES:
                    raise
            else:
                return

    async def validate_downgrade(self, version: str, *, timeout: float | None = None) -> str:
        """Check that the cluster can be downgraded to `version`, for example "3.4".

        Returns the version of the cluster. Raises `InvalidDowngradeTargetError` if it cannot
        (only one minor version at a time), `WrongDowngradeVersionFormatError` if `version` is
        not a version, `DowngradeInProcessError` during a downgrade,
        `UnsupportedByServerError` before etcd 3.5.
        """
        return await self._downgrade("validate", version, timeout)

    async def enable_downgrade(self, version: str, *, timeout: float | None = None) -> str:
        """Allow members of `version` to join; return the version of the cluster.

        Raises what `validate_downgrade` raises. etcd 3.5 enables the downgrade and does not
        answer: the call ends with a timeout, and `validate_downgrade` raises
        `DowngradeInProcessError` from then on.
        """
        return await self._downgrade("enable", version, timeout)

    async def cancel_downgrade(self, *, timeout: float | None = None) -> str:
        """Cancel the current downgrade; return the version of the cluster.

        Raises `NoInflightDowngradeError` if there is none. etcd 3.5 does not answer this call
        either, see `enable_downgrade`.
        """
        return await self._downgrade("cancel", None, timeout)

    async def _downgrade(self, action: str, version: str | None, timeout: float | None) -> str:
        request = downgrade_request(action, version)
        return (await self._channel.call(DOWNGRADE, request, timeout=timeout)).version

    @property
    def _cluster(self) -> ClusterClient:
        """The client that reads the member list; the members in it keep it."""
        return ClusterClient(self._channel)
