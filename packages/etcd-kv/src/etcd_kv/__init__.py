"""etcd's key-value service for asyncio: get, put, delete, ranges, transactions, compaction.

from etcd_channel import Channel
from etcd_kv import KVClient

async with Channel("localhost:2379") as channel:
    kv = KVClient(channel)
    await kv.put(b"key", b"value")
"""

from etcd_kv.bulk_results import BulkError, BulkPart, DeleteMany, PutMany
from etcd_kv.client import KVClient
from etcd_kv.requests import SortOrder, SortTarget
from etcd_kv.results import Delete, DeleteRange, Get, GetRange, Put
from etcd_kv.scan import Scan
from etcd_kv.stm_results import Isolation, STMResult, STMTimeoutError
from etcd_kv.stm_transaction import STMTransaction
from etcd_kv.transaction_results import (
    OperationResponse,
    OperationResult,
    PutResponse,
    TransactionResponse,
    TransactionResult,
    TxnResponse,
)
from etcd_kv.transactions import Compare, Operation, Transactions

__version__ = "0.1.0"

__all__ = [
    "BulkError",
    "BulkPart",
    "Compare",
    "Delete",
    "DeleteMany",
    "DeleteRange",
    "Get",
    "GetRange",
    "Isolation",
    "KVClient",
    "Operation",
    "OperationResponse",
    "OperationResult",
    "Put",
    "PutMany",
    "PutResponse",
    "STMResult",
    "STMTimeoutError",
    "STMTransaction",
    "Scan",
    "SortOrder",
    "SortTarget",
    "TransactionResponse",
    "TransactionResult",
    "Transactions",
    "TxnResponse",
]
