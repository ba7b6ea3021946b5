"""`Bulk` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import etcd_client
from etcd_client import DeleteMany, Get, LeaseLike, PutMany
from etcd_sync._conversation import Conversation
from etcd_sync._handle import Service
from etcd_sync._iteration import Iteration

__all__ = ["Bulk"]


class Bulk(Service):
    """The bulk operations of the key-value service; part of `KVClient`.

    Each method takes an iterable, the source, which is read in the thread that calls the method and
    may use the client, and sends its items in as few transactions as the server's limits allow. A
    transaction is sent when it is full or when the source ends, and at most `in_flight`
    transactions are in flight at a time. The source is read only as fast as the server answers: the
    items read but not yet done fill at most `in_flight` transactions. The iterator of the source is
    not closed.

    `max_txn_ops` and `max_request_bytes` are the limits set on the server by `--max-txn-ops` and
    `--max-request-bytes`; None means etcd's defaults, 128 and 1.5 MiB. If the server refuses a
    transaction as too large, its items are sent in smaller transactions, and later bulk operations
    on the client use the lower limit.

    `progress` is called after each transaction with the number of items that are done and the total
    number of items (None if the source has no length). It is called in the thread that called the
    method; its exceptions are raised to the caller.

    `timeout` is the number of seconds that one transaction may take; None means the client's
    timeout. An invalid item raises `TypeError` or `ValueError` with its position, after all items
    before it are done. An exception of the source is raised unchanged, after all items before it
    are done. A failed transaction does not interrupt the source: if the next item is being waited
    for, the error is raised when that item arrives.
    """

    _inner: etcd_client.KeyspaceClient

    def put_many(
        self,
        pairs: Iterable[tuple[bytes, bytes] | tuple[bytes, bytes, LeaseLike | None]]
        | Mapping[bytes, bytes],
        lease: LeaseLike | None = None,
        *,
        in_flight: int = 8,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        result: PutMany | None = None,
        timeout: float | None = None,
    ) -> PutMany:
        """Put many keys.

        `pairs` yields `(key, value)` or `(key, value, lease)`, or is a mapping of keys to values.
        `lease` applies to every pair of two fields. The lease of a pair replaces it; a third field
        of None means that the key has no lease.

        Each transaction is atomic; the call as a whole is not. If a key occurs again, its later
        value is put later: that pair begins a new transaction, which is sent after the transaction
        with the earlier pair is acknowledged.

        `result` is a new `PutMany` that the call fills and returns; None means that the call
        creates it. At any time, also after an error or an interruption, it shows which pairs are
        done, which are not done, and which may be done (`unknown`). A put that may have been
        applied is never sent again.

        Raises `BulkError`, which holds the result, if a transaction fails: no further transaction
        is sent, and the call waits for those in flight. If the call is interrupted, the
        transactions in flight may or may not be applied.
        """
        conversation = Conversation(self._portal)
        return conversation.hold(
            self._inner.put_many,
            conversation.source("pairs", pairs),
            lease,
            in_flight=in_flight,
            max_txn_ops=max_txn_ops,
            max_request_bytes=max_request_bytes,
            progress=conversation.posted(progress),
            result=result,
            timeout=timeout,
        )

    def delete_many(
        self,
        keys: Iterable[bytes],
        *,
        in_flight: int = 8,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        result: DeleteMany | None = None,
        timeout: float | None = None,
    ) -> DeleteMany:
        """Delete many keys; `deleted` of the result is the number of keys that existed.

        If `keys` is a mapping, its keys are deleted. A transaction is atomic, the call as a whole
        is not. `result`, errors and interruption are the same as for `put_many`, with a
        `DeleteMany`.
        """
        conversation = Conversation(self._portal)
        return conversation.hold(
            self._inner.delete_many,
            conversation.source("keys", keys),
            in_flight=in_flight,
            max_txn_ops=max_txn_ops,
            max_request_bytes=max_request_bytes,
            progress=conversation.posted(progress),
            result=result,
            timeout=timeout,
        )

    def get_many(
        self,
        keys: Iterable[bytes],
        serializable: bool = False,
        *,
        revision: int | None = None,
        keys_only: bool = False,
        in_flight: int = 8,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        timeout: float | None = None,
    ) -> list[Get | None]:
        """Read many keys, and return them in the order of `keys`; None for each missing key.

        All keys are read at one revision: `revision`, or the newest one when the first transaction
        is executed. To learn it, the first transaction is sent alone. The reads are linearizable;
        with `serializable` a member answers from its local data, which may be stale. `keys_only`
        leaves the values out. If a member fails, its reads are sent to another member.

        Raises `RevisionCompactedError` if the revision is compacted before all keys are read.
        """
        conversation = Conversation(self._portal)
        return conversation.hold(
            self._inner.get_many,
            conversation.source("keys", keys),
            serializable,
            revision=revision,
            keys_only=keys_only,
            in_flight=in_flight,
            max_txn_ops=max_txn_ops,
            max_request_bytes=max_request_bytes,
            progress=conversation.posted(progress),
            timeout=timeout,
        )

    def scan_many(
        self,
        keys: Iterable[bytes],
        *,
        serializable: bool = False,
        revision: int | None = None,
        keys_only: bool = False,
        in_flight: int = 8,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Callable[[int, int | None], object] | None = None,
        timeout: float | None = None,
    ) -> Iteration[tuple[bytes, Get | None]]:
        """Read many keys, and yield `(key, found)` for each; `found` is None for a missing key.

        The reads are the same as those of `get_many`, but at most the responses of `in_flight`
        transactions are in memory, however many keys there are. Invalid arguments raise `TypeError`
        or `ValueError` in this call; an invalid key raises when all keys before it were yielded.
        """
        conversation = Conversation(self._portal)
        return conversation.iterate(
            self._portal.call(
                self._inner.scan_many,
                conversation.source("keys", keys),
                serializable=serializable,
                revision=revision,
                keys_only=keys_only,
                in_flight=in_flight,
                max_txn_ops=max_txn_ops,
                max_request_bytes=max_request_bytes,
                progress=conversation.posted(progress),
                timeout=timeout,
            )
        )
