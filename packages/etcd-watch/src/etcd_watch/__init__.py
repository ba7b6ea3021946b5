"""etcd's watches for asyncio: many on a stream, resumed without loss or repetition.

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

# A library says nothing on stderr; who wants to hear of failing callbacks adds a handler.
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
