"""A live, ordered copy of a prefix of an etcd, for asyncio.

from etcd_cache import CacheClient
from etcd_channel import Channel

async with Channel("localhost:2379") as channel:
    async with CacheClient(channel).cache(b"config/") as config:
        print(config.get(b"config/limit"))
"""

import logging

from etcd_cache.cache import Cache
from etcd_cache.changes import CacheChange, CacheChangeKind, CacheGap
from etcd_cache.client import CacheClient
from etcd_cache.entries import CacheEntries
from etcd_cache.entry import CacheEntry
from etcd_cache.errors import CacheClosedError, CacheDecodeError, CacheTimeoutError
from etcd_cache.mirroring import MirrorStep, mirror
from etcd_cache.reader import CacheReader

# Without a handler, logging would write to stderr. Programs that want the log add their own.
logging.getLogger("etcd_cache").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "CacheChange",
    "CacheChangeKind",
    "CacheClient",
    "CacheClosedError",
    "CacheDecodeError",
    "CacheEntries",
    "CacheEntry",
    "CacheGap",
    "CacheReader",
    "CacheTimeoutError",
    "MirrorStep",
    "mirror",
]
