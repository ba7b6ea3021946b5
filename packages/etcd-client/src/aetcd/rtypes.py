"""The documented module `aetcd.rtypes`."""

from etcd_channel import KeyValue, ResponseHeader
from etcd_kv import Delete, DeleteRange, Get, GetRange, Put
from etcd_watch import Event, EventKind, Watch

__all__ = [
    "Delete",
    "DeleteRange",
    "Event",
    "EventKind",
    "Get",
    "GetRange",
    "KeyValue",
    "Put",
    "ResponseHeader",
    "Watch",
]
