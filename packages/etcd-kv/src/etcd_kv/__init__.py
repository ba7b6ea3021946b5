"""etcd's key-value service for asyncio: get, put, delete, ranges, transactions, compaction.

from etcd_channel import Channel
from etcd_kv import KVClient

async with Channel("localhost:2379") as channel:
    kv = KVClient(channel)
    await kv.put(b"key", b"value")
"""

from etcd_kv.client import KVClient
from etcd_kv.results import Delete, DeleteRange, Get, GetRange, Put, TransactionResult
from etcd_kv.transactions import Compare, Operation, Transactions

__version__ = "0.1.0"

__all__ = [
    "Compare",
    "Delete",
    "DeleteRange",
    "Get",
    "GetRange",
    "KVClient",
    "Operation",
    "Put",
    "TransactionResult",
    "Transactions",
]
