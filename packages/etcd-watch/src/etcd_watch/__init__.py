"""etcd's watches for asyncio: many watches on a stream, resumed without lost or repeated events.

from etcd_channel import Channel
from etcd_watch import WatchClient

async with Channel("localhost:2379") as channel:
    async for event in WatchClient(channel).watch(b"key"):
        print(event)
"""

import logging

from etcd_watch.client import WatchClient
from etcd_watch.errors import ClusterChangedError, WatchTimeoutError
from etcd_watch.events import Event, EventKind, WatchResponse
from etcd_watch.watch import Watch
from etcd_watch.watcher import Watcher, WatcherCallback

# Without a handler, logging would write to stderr. Programs that want the log add their own.
logging.getLogger("etcd_watch").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "ClusterChangedError",
    "Event",
    "EventKind",
    "Watch",
    "WatchClient",
    "WatchResponse",
    "WatchTimeoutError",
    "Watcher",
    "WatcherCallback",
]
