"""The etcd client for Python: asyncio, typed, complete.

    import etcd_client

    async with etcd_client.Client() as client:
        await client.put(b"key", b"value")

The same objects stand in the documented module tree, `aetcd`.
"""

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
    "Channel",
    "Client",
    "ClientClosedError",
    "ClientError",
    "ClientForkedError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "Delete",
    "DeleteRange",
    "DuplicateLeaseError",
    "Election",
    "Event",
    "EventKind",
    "Get",
    "GetRange",
    "InternalError",
    "InvalidArgumentError",
    "KeyValue",
    "LeaderKey",
    "Lease",
    "LeaseExpiredError",
    "LeaseInfo",
    "LeaseRefresh",
    "Lock",
    "LockLostError",
    "LockTimeoutError",
    "Mutex",
    "NotLeaderOfElectionError",
    "PreconditionFailedError",
    "Put",
    "Reconnect",
    "ResponseHeader",
    "RevisionCompactedError",
    "Session",
    "TransactionResult",
    "Transactions",
    "UnauthenticatedError",
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
