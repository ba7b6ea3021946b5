"""The base of the etcd client for Python: the channel, its errors and the common types.

    from etcd_channel import Channel
    from etcd_kv import KVClient

    async with Channel("localhost:2379") as channel:
        kv = KVClient(channel)

`errors` has every error that a call can raise; the documented ones can be imported from here too.
"""

import logging

from etcd_channel import errors
from etcd_channel._error_table import error_from_message
from etcd_channel.base_classes import NonCopyable
from etcd_channel.channel import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_KEEPALIVE_TIME,
    DEFAULT_KEEPALIVE_TIMEOUT,
    DEFAULT_TIMEOUT,
    Channel,
)
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
from etcd_channel.keys import NO_KEYS, KeyFields, Keys
from etcd_channel.metrics import Measurement, Metric
from etcd_channel.namespace import NamespaceView
from etcd_channel.observer import FailedAttempt, Observer, Reconnect, Report
from etcd_channel.rpc import Rpc
from etcd_channel.service import Service, channel_of
from etcd_channel.srv import SRV
from etcd_channel.stream import Stream, StreamHandler
from etcd_channel.tls import TLS
from etcd_channel.types import (
    HasId,
    HeaderLike,
    KeyValue,
    KeyValueLike,
    KeyValues,
    LeaseLike,
    Record,
    ResponseHeader,
)
from etcd_channel.utils import lease_to_id, prefix_range_end, to_bytes
from etcd_channel.view import ChannelLike, ChannelView, Middleware, with_middleware

# Without a handler, `logging` would write warnings to stderr.
logging.getLogger("etcd_channel").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_CONNECT_TIMEOUT",
    "DEFAULT_KEEPALIVE_TIME",
    "DEFAULT_KEEPALIVE_TIMEOUT",
    "DEFAULT_TIMEOUT",
    "NO_KEYS",
    "SRV",
    "TLS",
    "Channel",
    "ChannelLike",
    "ChannelView",
    "ClientClosedError",
    "ClientError",
    "ClientForkedError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "DuplicateLeaseError",
    "FailedAttempt",
    "HasId",
    "HeaderLike",
    "InternalError",
    "InvalidArgumentError",
    "KeyFields",
    "KeyValue",
    "KeyValueLike",
    "KeyValues",
    "Keys",
    "LeaseLike",
    "Measurement",
    "Metric",
    "Middleware",
    "NamespaceView",
    "NonCopyable",
    "Observer",
    "PreconditionFailedError",
    "Reconnect",
    "Record",
    "Report",
    "ResponseHeader",
    "RevisionCompactedError",
    "Rpc",
    "Service",
    "Stream",
    "StreamHandler",
    "UnauthenticatedError",
    "WrongEventLoopError",
    "channel_of",
    "error_from_message",
    "errors",
    "lease_to_id",
    "prefix_range_end",
    "to_bytes",
    "with_middleware",
]
