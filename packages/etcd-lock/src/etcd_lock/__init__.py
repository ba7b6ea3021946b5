"""Locks, sessions, mutexes and elections on etcd for asyncio.

from etcd_channel import Channel
from etcd_lock import LockClient

async with Channel("localhost:2379") as channel:
    async with LockClient(channel).lock(b"key", ttl=20, keep_alive=True) as lock:
        print(lock.fencing_token)
"""

import logging

from etcd_lock.client import LockClient
from etcd_lock.election import Election
from etcd_lock.errors import LockLostError, LockTimeoutError, NotLeaderOfElectionError
from etcd_lock.lock import Lock
from etcd_lock.mutex import Mutex
from etcd_lock.server_side import LeaderKey, ServerLockClient
from etcd_lock.session import Session

# A library says nothing on stderr; who wants to hear of failing clean-ups adds a handler.
logging.getLogger("etcd_lock").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Election",
    "LeaderKey",
    "Lock",
    "LockClient",
    "LockLostError",
    "LockTimeoutError",
    "Mutex",
    "NotLeaderOfElectionError",
    "ServerLockClient",
    "Session",
]
