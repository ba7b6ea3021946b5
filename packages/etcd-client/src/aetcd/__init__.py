"""The documented module tree of `aetcd`, on the packages of the etcd client for Python.

Code that was written for `aetcd` runs on it unchanged. The names are the same objects as in
`etcd_client` and the service packages.
"""

from aetcd import (
    # First, because it checks what the others need.
    _check_etcd_client,  # noqa: F401
    client,
    exceptions,
    leases,
    locks,
    members,
    rtypes,
    transactions,
    utils,
    watcher,
)
from aetcd.client import Alarm, Client, Status, Transactions
from aetcd.exceptions import (
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    DuplicateLeaseError,
    InternalError,
    InvalidArgumentError,
    PreconditionFailedError,
    RevisionCompactedError,
    UnauthenticatedError,
    WatchTimeoutError,
)
from aetcd.leases import Lease
from aetcd.locks import Lock
from aetcd.members import Member
from aetcd.rtypes import (
    Delete,
    DeleteRange,
    Event,
    EventKind,
    Get,
    GetRange,
    KeyValue,
    Put,
    ResponseHeader,
    Watch,
)
from aetcd.watcher import Watcher, WatcherCallback

__all__ = [
    "Alarm",
    "Client",
    "ClientError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "Delete",
    "DeleteRange",
    "DuplicateLeaseError",
    "Event",
    "EventKind",
    "Get",
    "GetRange",
    "InternalError",
    "InvalidArgumentError",
    "KeyValue",
    "Lease",
    "Lock",
    "Member",
    "PreconditionFailedError",
    "Put",
    "ResponseHeader",
    "RevisionCompactedError",
    "Status",
    "Transactions",
    "UnauthenticatedError",
    "Watch",
    "WatchTimeoutError",
    "Watcher",
    "WatcherCallback",
    "client",
    "exceptions",
    "leases",
    "locks",
    "members",
    "rtypes",
    "transactions",
    "utils",
    "watcher",
]
