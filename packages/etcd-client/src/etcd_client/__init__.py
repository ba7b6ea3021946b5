"""The etcd client for Python: asyncio, typed, complete.

    import etcd_client

    async with etcd_client.Client() as client:
        await client.put(b"key", b"value")

The same objects stand in the documented module tree, `aetcd`.
"""

from etcd_auth import AuthStatus, Permission, PermissionKind, Role, User
from etcd_channel import (
    TLS,
    Channel,
    ClientClosedError,
    ClientError,
    ClientForkedError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    DuplicateLeaseError,
    InternalError,
    InvalidArgumentError,
    KeyValue,
    PreconditionFailedError,
    Reconnect,
    ResponseHeader,
    RevisionCompactedError,
    UnauthenticatedError,
    WrongEventLoopError,
    errors,
    lease_to_id,
    prefix_range_end,
    to_bytes,
)
from etcd_client.client import Client
from etcd_cluster import (
    Alarm,
    AlarmType,
    Defragmentation,
    DowngradeInfo,
    HashKV,
    Listing,
    Member,
    MemberStatus,
    Snapshot,
    SnapshotDamagedError,
    Status,
)
from etcd_kv import Delete, DeleteRange, Get, GetRange, Put, TransactionResult, Transactions
from etcd_lease import Lease, LeaseExpiredError, LeaseInfo, LeaseRefresh
from etcd_lock import (
    Election,
    LeaderKey,
    Lock,
    LockLostError,
    LockTimeoutError,
    Mutex,
    NotLeaderOfElectionError,
    Session,
)
from etcd_watch import (
    Event,
    EventKind,
    Watch,
    Watcher,
    WatcherCallback,
    WatchResponse,
    WatchTimeoutError,
)

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "Alarm",
    "AlarmType",
    "AuthStatus",
    "Channel",
    "Client",
    "ClientClosedError",
    "ClientError",
    "ClientForkedError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "Defragmentation",
    "Delete",
    "DeleteRange",
    "DowngradeInfo",
    "DuplicateLeaseError",
    "Election",
    "Event",
    "EventKind",
    "Get",
    "GetRange",
    "HashKV",
    "InternalError",
    "InvalidArgumentError",
    "KeyValue",
    "LeaderKey",
    "Lease",
    "LeaseExpiredError",
    "LeaseInfo",
    "LeaseRefresh",
    "Listing",
    "Lock",
    "LockLostError",
    "LockTimeoutError",
    "Member",
    "MemberStatus",
    "Mutex",
    "NotLeaderOfElectionError",
    "Permission",
    "PermissionKind",
    "PreconditionFailedError",
    "Put",
    "Reconnect",
    "ResponseHeader",
    "RevisionCompactedError",
    "Role",
    "Session",
    "Snapshot",
    "SnapshotDamagedError",
    "Status",
    "TransactionResult",
    "Transactions",
    "UnauthenticatedError",
    "User",
    "Watch",
    "WatchResponse",
    "WatchTimeoutError",
    "Watcher",
    "WatcherCallback",
    "WrongEventLoopError",
    "errors",
    "lease_to_id",
    "prefix_range_end",
    "to_bytes",
]
