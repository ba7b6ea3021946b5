"""`Status`, `MemberStatus`, `Defragmentation` and `MaintenanceClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import etcd_client
from etcd_client import (
    Alarm,
    AlarmName,
    AlarmType,
    BinaryWriter,
    ClientError,
    DowngradeInfo,
    HashKV,
    ResponseHeader,
    Snapshot,
)
from etcd_sync._conversation import Conversation
from etcd_sync._handle import Service
from etcd_sync._portal import Portal
from etcd_sync.members import Member

__all__ = ["Defragmentation", "MaintenanceClient", "MemberStatus", "Status"]

_NO_HEADER = ResponseHeader()


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a member."""

    version: str
    """The version of etcd that the member runs, for example "3.5.16"."""
    db_size: int
    """The size of its database file in bytes, including free space."""
    leader: Member | None
    """The leader of the cluster; None if the member knows of none."""
    raft_index: int
    """The index of the last committed entry of its log."""
    raft_term: int
    """The current Raft term; a term has at most one leader."""
    header: ResponseHeader = field(default=_NO_HEADER, kw_only=True)
    """The member that answered (`header.member_id`), and the revision of its store."""
    leader_id: int = field(default=0, kw_only=True)
    """The leader's id; 0 if there is none."""
    raft_applied_index: int = field(default=0, kw_only=True)
    """The index of the last entry that it has applied; below `raft_index` if it lags behind."""
    errors: tuple[str, ...] = field(default=(), kw_only=True)
    """Problems that the server reports, such as a missing leader or alarms."""
    db_size_in_use: int = field(default=0, kw_only=True)
    """The bytes of `db_size` that are in use; defragmentation frees the rest."""
    is_learner: bool = field(default=False, kw_only=True)
    """Whether it is a learner, without a vote."""
    storage_version: str | None = field(default=None, kw_only=True)
    """The version of its data format; None before etcd 3.6."""
    db_size_quota: int | None = field(default=None, kw_only=True)
    """The limit of `db_size` in bytes; None before etcd 3.6."""
    downgrade: DowngradeInfo | None = field(default=None, kw_only=True)
    """The downgrade, if one is enabled; None before etcd 3.6."""

    @classmethod
    def _of(cls, portal: Portal, inner: etcd_client.Status) -> Status:
        return cls(
            version=inner.version,
            db_size=inner.db_size,
            leader=Member._of_optional(portal, inner.leader),
            raft_index=inner.raft_index,
            raft_term=inner.raft_term,
            header=inner.header,
            leader_id=inner.leader_id,
            raft_applied_index=inner.raft_applied_index,
            errors=inner.errors,
            db_size_in_use=inner.db_size_in_use,
            is_learner=inner.is_learner,
            storage_version=inner.storage_version,
            db_size_quota=inner.db_size_quota,
            downgrade=inner.downgrade,
        )


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member of the cluster, and its status or the error of the call."""

    member: Member
    """The member, as in the member list."""
    endpoint: str | None
    """The endpoint that was called; None if the member advertises no client URL."""
    status: Status | None = None
    """Its status; None if it did not answer."""
    error: ClientError | None = None
    """The error; None if it answered."""

    @classmethod
    def _of(cls, portal: Portal, inner: etcd_client.MemberStatus) -> MemberStatus:
        return cls(
            member=Member._of(portal, inner.member),
            endpoint=inner.endpoint,
            status=None if inner.status is None else Status._of(portal, inner.status),
            error=inner.error,
        )

    @property
    def healthy(self) -> bool:
        """Whether the member answered and knows of a leader."""
        return self.status is not None and self.status.leader_id != 0


@dataclass(frozen=True, slots=True)
class Defragmentation:
    """The result of the defragmentation of one member."""

    member: Member
    """The defragmented member."""
    endpoint: str
    """The endpoint that was called."""
    seconds: float
    """The duration of the defragmentation, during which the member answered no other call."""
    db_size_before: int
    """The size of its database file before the defragmentation, in bytes."""
    db_size_after: int
    """The size of its database file once all members were healthy again, in bytes."""

    @classmethod
    def _of(cls, portal: Portal, inner: etcd_client.Defragmentation) -> Defragmentation:
        return cls(
            member=Member._of(portal, inner.member),
            endpoint=inner.endpoint,
            seconds=inner.seconds,
            db_size_before=inner.db_size_before,
            db_size_after=inner.db_size_after,
        )


class MaintenanceClient(Service):
    """etcd's maintenance service.

    `timeout` is the number of seconds that a method may take, however many calls it makes; None
    means the client's timeout, but no limit for `defragment` and `snapshot`, which take long with a
    large database. `endpoint` addresses one member, as "host:port" or a client URL; None asks the
    member that the client is connected to. A method that fails raises a `ClientError`:
    `UnsupportedByServerError` if the server is too old for the call, `PermissionDeniedError` if the
    user is not root.
    """

    _inner: etcd_client.Client

    def status(self, *, timeout: float | None = None, endpoint: str | None = None) -> Status:
        """Return the status of a member; learners and members without a leader answer too."""
        return Status._of(
            self._portal, self._portal.run(self._inner.status, timeout=timeout, endpoint=endpoint)
        )

    def status_cluster(self, *, timeout: float | None = None) -> list[MemberStatus]:
        """Ask all members for their status at the same time; return a status or an error for each.

        The members are those in the list of the member that the client is connected to, which needs
        no majority to answer.
        """
        return [
            MemberStatus._of(self._portal, each)
            for each in self._portal.run(self._inner.status_cluster, timeout=timeout)
        ]

    def hash(self, *, timeout: float | None = None, endpoint: str | None = None) -> int:
        """Return the hash of a member's whole database. For tests of etcd only.

        It differs between the members of a healthy cluster: compare them by `hash_kv`.
        """
        return self._portal.run(self._inner.hash, timeout=timeout, endpoint=endpoint)

    def hash_kv(
        self,
        revision: int | None = None,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> HashKV:
        """Return the hash of a member's keys and their history up to `revision`.

        None means the newest revision. To compare members, pass the same revision for each.

        Raises `RevisionCompactedError` for a revision that was compacted, which before etcd 3.5.30
        includes the compacted revision itself, and `FutureRevisionError` for one that the member
        does not have yet.
        """
        return self._portal.run(self._inner.hash_kv, revision, timeout=timeout, endpoint=endpoint)

    def create_alarm(
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
        return self._portal.run(
            self._inner.create_alarm, member_id, alarm_type=alarm_type, timeout=timeout
        )

    def list_alarms(
        self,
        member_id: int = 0,
        alarm_type: AlarmName | AlarmType = "none",
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> list[Alarm]:
        """List the active alarms.

        A `member_id` selects the alarms of that member and those raised for all members together; 0
        selects all. `alarm_type` is "no space", "corrupt", or "none" for every type.
        """
        return self._portal.run(
            self._inner.list_alarms, member_id, alarm_type, timeout=timeout, endpoint=endpoint
        )

    def disarm_alarm(
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
        return self._portal.run(
            self._inner.disarm_alarm, member_id, alarm_type=alarm_type, timeout=timeout
        )

    def defragment(self, *, timeout: float | None = None, endpoint: str | None = None) -> None:
        """Return the free space in a member's database file to the file system.

        The member answers no other call meanwhile, which takes long with a large database. See
        `defragment_cluster` for all members. After an interruption or an error that is not
        `definite` the member may still be defragmenting.
        """
        self._portal.run(self._inner.defragment, timeout=timeout, endpoint=endpoint)

    def defragment_cluster(
        self, *, timeout: float | None = None, health_timeout: float = 60.0
    ) -> list[Defragmentation]:
        """Defragment every member of the cluster, one after the other, the leader last.

        It continues with the next member once all members are healthy again: they answer, follow
        the same leader and have applied the log up to where it was when the defragmentation ended.
        Learners are skipped, because they do not support it.

        `timeout` is the number of seconds that the defragmentation of one member may take, None
        means no limit; `health_timeout` is the number of seconds within which all members must be
        healthy again.

        Raises `UnhealthyClusterError` if not all members are healthy at the start, or not in time
        after a defragmentation, and any error of a defragmentation; the remaining members are not
        defragmented then.
        """
        return [
            Defragmentation._of(self._portal, each)
            for each in self._portal.run(
                self._inner.defragment_cluster, timeout=timeout, health_timeout=health_timeout
            )
        ]

    def snapshot(
        self,
        file_obj: str | os.PathLike[str] | BinaryWriter,
        *,
        progress: Callable[[int, int], object] | None = None,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Snapshot:
        """Save a snapshot of a member's database; return its size and checksum.

        `file_obj` is a path, or a binary file object; a `write` is called in the calling thread.
        Its `flush`, if it has one, is called at the end. A path never contains part of a snapshot:
        the snapshot is written to a file beside it, synced, and renamed at the end. A file object
        stays open, and may contain part of a snapshot if this raises or is interrupted.

        `progress` is called with the number of bytes so far and the total, in the calling thread.

        Raises `SnapshotDamagedError` if the checksum at the end of the snapshot is missing or does
        not match, and `OSError` if the file cannot be written; a directory that is not writable is
        detected before the server is asked. An interrupted snapshot is not resumed. An interruption
        waits for the block that is being written, at most a megabyte.
        """
        conversation = Conversation(self._portal)
        return conversation.hold(
            self._inner.snapshot,
            conversation.writer(file_obj),
            progress=conversation.posted(progress),
            timeout=timeout,
            endpoint=endpoint,
        )

    def move_leader(
        self, member_id: int, *, timeout: float | None = None, endpoint: str | None = None
    ) -> None:
        """Transfer the leadership to the member with this id; return when it leads.

        The current leader serves this call; it is looked up unless `endpoint` addresses it.

        Raises `BadLeaderTransfereeError` for an id that no voting member has, `NotLeaderError` if
        the member at `endpoint` is not the leader, `NoLeaderError` if there is no leader or it
        cannot be reached.
        """
        self._portal.run(self._inner.move_leader, member_id, timeout=timeout, endpoint=endpoint)

    def validate_downgrade(self, version: str, *, timeout: float | None = None) -> str:
        """Check that the cluster can be downgraded to `version`, for example "3.4".

        Returns the version of the cluster. Raises `InvalidDowngradeTargetError` if it cannot (only
        one minor version at a time), `WrongDowngradeVersionFormatError` if `version` is not a
        version, `DowngradeInProcessError` during a downgrade, `UnsupportedByServerError` before
        etcd 3.5.
        """
        return self._portal.run(self._inner.validate_downgrade, version, timeout=timeout)

    def enable_downgrade(self, version: str, *, timeout: float | None = None) -> str:
        """Allow members of `version` to join; return the version of the cluster.

        Raises what `validate_downgrade` raises. etcd 3.5 enables the downgrade and does not answer:
        the call ends with a timeout, and `validate_downgrade` raises `DowngradeInProcessError` from
        then on.
        """
        return self._portal.run(self._inner.enable_downgrade, version, timeout=timeout)

    def cancel_downgrade(self, *, timeout: float | None = None) -> str:
        """Cancel the current downgrade; return the version of the cluster.

        Raises `NoInflightDowngradeError` if there is none. etcd 3.5 does not answer this call
        either, see `enable_downgrade`.
        """
        return self._portal.run(self._inner.cancel_downgrade, timeout=timeout)
