"""Locks, sessions, mutexes and elections on etcd for asyncio.

from etcd_channel import Channel
from etcd_lock import LockClient

async with Channel("localhost:2379") as channel:
    async with LockClient(channel).lock(b"key", ttl=20, keep_alive=True) as lock:
        print(lock.fencing_token)
"""

import logging

from etcd_lock._hold import LockLoss
from etcd_lock.client import LockClient
from etcd_lock.election import Election
from etcd_lock.errors import LockLostError, LockTimeoutError, NotLeaderOfElectionError
from etcd_lock.lock import Lock
from etcd_lock.multi_lock import MultiLock
from etcd_lock.mutex import Mutex
from etcd_lock.queue_entry import QueueEntry
from etcd_lock.read_write_lock import ReadLock, ReadWriteLock, WriteLock
from etcd_lock.semaphore import Permit, Semaphore, SemaphoreUsage
from etcd_lock.server_side import LeaderKey, ServerLockClient
from etcd_lock.session import Session

# A library writes nothing to stderr; a program that wants the warnings adds a handler.
logging.getLogger("etcd_lock").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Election",
    "LeaderKey",
    "Lock",
    "LockClient",
    "LockLoss",
    "LockLostError",
    "LockTimeoutError",
    "MultiLock",
    "Mutex",
    "NotLeaderOfElectionError",
    "Permit",
    "QueueEntry",
    "ReadLock",
    "ReadWriteLock",
    "Semaphore",
    "SemaphoreUsage",
    "ServerLockClient",
    "Session",
    "WriteLock",
]
