"""The documented module `aetcd.exceptions`."""

from etcd_channel import (
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    DuplicateLeaseError,
    InternalError,
    InvalidArgumentError,
    PreconditionFailedError,
    RevisionCompactedError,
    UnauthenticatedError,
)
from etcd_watch import WatchTimeoutError

__all__ = [
    "ClientError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "DuplicateLeaseError",
    "InternalError",
    "InvalidArgumentError",
    "PreconditionFailedError",
    "RevisionCompactedError",
    "UnauthenticatedError",
    "WatchTimeoutError",
]
