"""The documented module `aetcd.rtypes`."""

from etcd_channel import KeyValue, ResponseHeader
from etcd_kv import Delete, DeleteRange, Get, GetRange, Put

__all__ = ["Delete", "DeleteRange", "Get", "GetRange", "KeyValue", "Put", "ResponseHeader"]
