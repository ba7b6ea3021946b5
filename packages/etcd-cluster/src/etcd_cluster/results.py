"""The results of the maintenance calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from etcd_channel import ClientError, ResponseHeader
from etcd_cluster.members import Member
from etcd_cluster.pb import maintenance_pb2 as pb

__all__ = ["Defragmentation", "DowngradeInfo", "HashKV", "MemberStatus", "Status"]

_NO_HEADER = ResponseHeader()


@dataclass(frozen=True, slots=True)
class DowngradeInfo:
    """Whether the cluster is being downgraded to an older version."""

    enabled: bool
    """Whether a downgrade is enabled."""
    target_version: str
    """The version that it is downgraded to; empty if no downgrade is enabled."""


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
    def of(cls, message: pb.StatusResponse, members: Sequence[Member]) -> Status:
        """Make a status from a response; the leader is taken from `members`."""
        downgrade = None
        if message.HasField("downgradeInfo"):
            info = message.downgradeInfo
            downgrade = DowngradeInfo(info.enabled, info.targetVersion)
        return cls(
            message.version,
            message.dbSize,
            next((member for member in members if member.id == message.leader), None),
            message.raftIndex,
            message.raftTerm,
            header=ResponseHeader(message.header),
            leader_id=message.leader,
            raft_applied_index=message.raftAppliedIndex,
            errors=tuple(error.strip() for error in message.errors),
            db_size_in_use=message.dbSizeInUse,
            is_learner=message.isLearner,
            storage_version=message.storageVersion or None,
            db_size_quota=message.dbSizeQuota or None,
            downgrade=downgrade,
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

    @property
    def healthy(self) -> bool:
        """Whether the member answered and knows of a leader."""
        return self.status is not None and self.status.leader_id != 0


@dataclass(frozen=True, slots=True)
class HashKV:
    """The hash of a member's keys and their history, to compare it with other members.

    Members with the same data and the same `compact_revision` return the same `hash` for one
    revision.
    """

    header: ResponseHeader
    """The member that answered, and the newest revision of its store."""
    hash: int
    """The hash of the keys and their history."""
    compact_revision: int
    """The compacted revision, at which the hashed history starts; -1 before any compaction."""
    hash_revision: int | None
    """The revision at which the hashed history ends; None before etcd 3.6."""

    @classmethod
    def from_message(cls, message: pb.HashKVResponse) -> HashKV:
        """Make the result from a response."""
        return cls(
            ResponseHeader(message.header),
            message.hash,
            message.compact_revision,
            message.hash_revision or None,
        )


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
