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
    "Get",
    "GetRange",
    "InternalError",
    "InvalidArgumentError",
    "KeyValue",
    "PreconditionFailedError",
    "Put",
    "ResponseHeader",
    "RevisionCompactedError",
    "TransactionResult",
    "Transactions",
    "UnauthenticatedError",
    "WrongEventLoopError",
    "errors",
    "lease_to_id",
    "prefix_range_end",
    "to_bytes",
]
