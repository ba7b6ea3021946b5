"""Keeps the users of a recipe agreed on a number."""

from __future__ import annotations

from etcd_channel import PreconditionFailedError
from etcd_kv import KVClient, Operation, TransactionResult

__all__ = ["put_if_agreed"]


async def put_if_agreed(
    kv: KVClient, key: bytes, number: int, operation: Operation, *, timeout: float | None
) -> TransactionResult:
    """Execute `operation` if `key` holds `number` or does not exist, and put it then.

    Raises `PreconditionFailedError` if it holds another number; nothing is changed then. Returns
    the result of the branch that was executed.
    """
    txn, value = kv.transactions, b"%d" % number
    result = await kv.transaction(
        [txn.value(key) == value],
        [operation],
        [txn.txn([txn.version(key) == 0], [txn.put(key, value), operation], [txn.get(key)])],
        timeout=timeout,
    )
    if result.succeeded:
        return result
    nested = result.txns[0]
    if not nested.succeeded:
        raise disagreement(key, number)
    return nested


def disagreement(key: bytes, number: int) -> PreconditionFailedError:
    """Return the error for a number that is not the one that `key` holds."""
    return PreconditionFailedError(
        f"the key {key!r} holds another number than {number}: all users must give the same one"
    )
