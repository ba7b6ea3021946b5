"""The ground floor of the etcd client for Python: the channel and what all services share.

    from etcd_channel import Channel
    from etcd_kv import KVClient

    async with Channel("localhost:2379") as channel:
        kv = KVClient(channel)

`errors` holds every error that a call may end in; the documented ones stand here too.
"""

import logging

from etcd_channel import errors
from etcd_channel._error_table import error_from_words
from etcd_channel.channel import DEFAULT_CONNECT_TIMEOUT, DEFAULT_TIMEOUT, Channel
from etcd_channel.errors import (
    ClientClosedError,
    ClientError,
    ClientForkedError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    DuplicateLeaseError,
    InternalError,
    InvalidArgumentError,
    PreconditionFailedError,
    RevisionCompactedError,
    UnauthenticatedError,
    WrongEventLoopError,
)
from etcd_channel.rpc import Rpc
from etcd_channel.service import Service
from etcd_channel.stream import Reconnect, Stream, StreamHandler
from etcd_channel.tls import TLS
from etcd_channel.types import KeyValue, Record, ResponseHeader
from etcd_channel.utils import lease_to_id, prefix_range_end, to_bytes

# A library says nothing on stderr; who wants to hear of outages adds a handler.
logging.getLogger("etcd_channel").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_CONNECT_TIMEOUT",
    "DEFAULT_TIMEOUT",
    "TLS",
    "Channel",
    "ClientClosedError",
    "ClientError",
    "ClientForkedError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "DuplicateLeaseError",
    "InternalError",
    "InvalidArgumentError",
    "KeyValue",
    "PreconditionFailedError",
    "Reconnect",
    "Record",
    "ResponseHeader",
    "RevisionCompactedError",
    "Rpc",
    "Service",
    "Stream",
    "StreamHandler",
    "UnauthenticatedError",
    "WrongEventLoopError",
    "error_from_words",
    "errors",
    "lease_to_id",
    "prefix_range_end",
    "to_bytes",
]
