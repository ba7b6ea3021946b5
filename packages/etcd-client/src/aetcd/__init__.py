"""The documented module tree, on the packages of the etcd client for Python.

Code that was written for `aetcd` runs on it as it is. The names are the same objects that
`etcd_client` and the service packages have.
"""

from aetcd import client, exceptions, rtypes, utils
from aetcd.client import Client, Transactions
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
)
from aetcd.rtypes import Delete, DeleteRange, Get, GetRange, KeyValue, Put, ResponseHeader

__all__ = [
    "Client",
    "ClientError",
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
    "Transactions",
    "UnauthenticatedError",
    "client",
    "exceptions",
    "rtypes",
    "utils",
]
