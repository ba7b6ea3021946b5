"""What the maintenance calls return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from etcd_channel import ClientError, Record, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_cluster.members import Member
from etcd_cluster.pb import maintenance_pb2 as pb

__all__ = ["Defragmentation", "DowngradeInfo", "HashKV", "MemberStatus", "Status"]


class DowngradeInfo(Record):
    """Whether the cluster is on its way to an older version."""

    __slots__ = ("enabled", "target_version")
    _fields: ClassVar[tuple[str, ...]] = __slots__

    enabled: bool
    """Whether a downgrade is going on."""
    target_version: str
    """The version that it goes to; empty when none is going on."""

    def __init__(self, enabled: bool, target_version: str) -> None:
        self.enabled = enabled
        self.target_version = target_version


class Status(Record):
    """How a member is."""

    __slots__ = _fields = (
        "version",
        "db_size",
        "leader",
        "raft_index",
        "raft_term",
        "header",
        "leader_id",
        "raft_applied_index",
        "errors",
        "db_size_in_use",
        "is_learner",
        "storage_version",
        "db_size_quota",
        "downgrade",
    )

    version: str
    """The version of etcd that the member runs, as "3.5.16"."""
    db_size: int
    """The bytes of its database file, free space in it included."""
    leader: Member | None
    """The leader of the cluster; None where the member knows of none."""
    raft_index: int
    """How far its log goes that the majority has."""
    raft_term: int
    """The term that it knows of: one leader's, at most."""
    header: ResponseHeader
    """Who answered (`header.member_id`), and the revision of its store."""
    leader_id: int
    """The leader's id, 0 where there is none."""
    raft_applied_index: int
    """How far it has applied its log; behind `raft_index` it has work to do."""
    errors: list[str]
    """What is wrong, in the server's words: no leader, alarms."""
    db_size_in_use: int
    """The bytes of `db_size` that hold something; defragmenting frees the rest."""
    is_learner: bool
    """Whether it follows without a vote."""
    storage_version: str | None
    """The version that its data on disk are of; None before etcd 3.6."""
    db_size_quota: int | None
    """The bytes that `db_size` may grow to; None before etcd 3.6."""
    downgrade: DowngradeInfo | None
    """Whether a downgrade is going on; None before etcd 3.6."""

    def __init__(
        self,
        version: str,
        db_size: int,
        leader: Member | None,
        raft_index: int,
        raft_term: int,
        *,
        header: ResponseHeader | None = None,
        leader_id: int = 0,
        raft_applied_index: int = 0,
        errors: Sequence[str] = (),
        db_size_in_use: int = 0,
        is_learner: bool = False,
        storage_version: str | None = None,
        db_size_quota: int | None = None,
        downgrade: DowngradeInfo | None = None,
    ) -> None:
        self.version = version
        self.db_size = db_size
        self.leader = leader
        self.raft_index = raft_index
        self.raft_term = raft_term
        self.header = header or ResponseHeader(common_pb2.ResponseHeader())
        self.leader_id = leader_id
        self.raft_applied_index = raft_applied_index
        self.errors = list(errors)
        self.db_size_in_use = db_size_in_use
        self.is_learner = is_learner
        self.storage_version = storage_version
        self.db_size_quota = db_size_quota
        self.downgrade = downgrade

    @classmethod
    def of(cls, message: pb.StatusResponse, members: Sequence[Member]) -> Status:
        """Make a status of what came over the wire, with the leader as one of `members`."""
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
            errors=[error.strip() for error in message.errors],
            db_size_in_use=message.dbSizeInUse,
            is_learner=message.isLearner,
            storage_version=message.storageVersion or None,
            db_size_quota=message.dbSizeQuota or None,
            downgrade=downgrade,
        )

    def __hash__(self) -> int:
        return hash((self.header, self.raft_applied_index))


class MemberStatus(Record):
    """A member of the cluster and how it is, or why it does not say."""

    __slots__ = ("endpoint", "error", "member", "status")
    _fields: ClassVar[tuple[str, ...]] = ("member", "endpoint", "status", "error")

    member: Member
    """The member, as the list tells of it."""
    endpoint: str | None
    """Where it was asked; None if it advertises no address."""
    status: Status | None
    """How it is; None if it did not answer."""
    error: ClientError | None
    """Why it did not answer; None if it did, or has no address."""

    def __init__(
        self,
        member: Member,
        endpoint: str | None,
        status: Status | None = None,
        error: ClientError | None = None,
    ) -> None:
        self.member = member
        self.endpoint = endpoint
        self.status = status
        self.error = error

    @property
    def healthy(self) -> bool:
        """Whether the member answers and knows of a leader."""
        return self.status is not None and self.status.leader_id != 0


class HashKV(Record):
    """The hash of what a member stores, to be compared with the other members'.

    Two members that hold the same give the same `hash` for one revision, if their
    `compact_revision` is the same too.
    """

    __slots__ = _fields = ("header", "hash", "compact_revision", "hash_revision")

    header: ResponseHeader
    """Who answered, and the newest revision there."""
    hash: int
    """The hash over the keys and their history."""
    compact_revision: int
    """The revision that history was compacted at, and is hashed from; -1 where it never was."""
    hash_revision: int | None
    """The revision up to which was hashed; None before etcd 3.6."""

    def __init__(self, message: pb.HashKVResponse) -> None:
        self.header = ResponseHeader(message.header)
        self.hash = message.hash
        self.compact_revision = message.compact_revision
        self.hash_revision = message.hash_revision or None


class Defragmentation(Record):
    """What defragmenting one member of a cluster came to."""

    __slots__ = _fields = ("member", "endpoint", "seconds", "db_size_before", "db_size_after")

    member: Member
    """The member."""
    endpoint: str
    """Where it was asked."""
    seconds: float
    """How long it was busy with it, and answered nobody."""
    db_size_before: int
    """The bytes of its database file before."""
    db_size_after: int
    """The bytes of it when the member was healthy again."""

    def __init__(
        self,
        member: Member,
        endpoint: str,
        seconds: float,
        db_size_before: int,
        db_size_after: int,
    ) -> None:
        self.member = member
        self.endpoint = endpoint
        self.seconds = seconds
        self.db_size_before = db_size_before
        self.db_size_after = db_size_after
