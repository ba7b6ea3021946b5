"""Puts, reads and deletions of many keys, in transactions that keep to the server's limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from etcd_channel import LeaseLike, Service
from etcd_kv.bulk_results import DeleteMany, Progress, PutMany, new_result
from etcd_kv.results import Get

if TYPE_CHECKING:
    from etcd_kv._bulk_reads import BulkReader

__all__ = ["Bulk"]

PutPair = tuple[bytes, bytes] | tuple[bytes, bytes, LeaseLike | None]
"""A key and its value, and optionally a lease that is used instead of the common one."""

_IN_FLIGHT: Final = 8


class Bulk(Service):
    """The bulk operations of the key-value service; part of `KVClient`.

    Each method takes an iterable or async iterable, the source, and sends its items in as few
    transactions as the server's limits allow. A transaction is sent when it is full or when the
    source ends, and at most `in_flight` transactions are in flight at a time. The source is read
    only as fast as the server answers: the items read but not yet done fill at most `in_flight`
    transactions. The iterator of the source is not closed.

    `max_txn_ops` and `max_request_bytes` are the limits set on the server by `--max-txn-ops` and
    `--max-request-bytes`; None means etcd's defaults, 128 and 1.5 MiB. If the server refuses a
    transaction as too large, its items are sent in smaller transactions, and later bulk
    operations on the channel use the lower limit.

    `progress` is called after each transaction with the number of items that are done and the
    total number of items (None if the source has no length). It is called in the event loop and
    must not block; its exceptions are raised to the caller.

    `timeout` is the number of seconds that one transaction may take; None means the channel's
    timeout. An invalid item raises `TypeError` or `ValueError` with its position, after all items
    before it are done. An exception of the source is raised unchanged, after all items before it
    are done. A failed transaction does not interrupt the source: if the next item of an async
    iterable is being awaited, the error is raised when that item arrives. Use `asyncio.timeout`
    or a timeout in the source to limit the wait.
    """

    async def put_many(
        self,
        pairs: Iterable[PutPair] | AsyncIterable[PutPair] | Mapping[bytes, bytes],
        lease: LeaseLike | None = None,
        *,
        in_flight: int = _IN_FLIGHT,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Progress | None = None,
        result: PutMany | None = None,
        timeout: float | None = None,
    ) -> PutMany:
        """Put many keys.

        `pairs` yields `(key, value)` or `(key, value, lease)`, or is a mapping of keys to values.
        `lease` applies to every pair of two fields. The lease of a pair replaces it; a third
        field of None means that the key has no lease.

        Each transaction is atomic; the call as a whole is not. If a key occurs again, its later
        value is put later: that pair begins a new transaction, which is sent after the
        transaction with the earlier pair is acknowledged.

        `result` is a new `PutMany` that the call fills and returns; None means that the call
        creates it. At any time, also after an error or a cancellation, it shows which pairs are
        done, which are not done, and which may be done (`unknown`). A put that may have been
        applied is never sent again.

        Raises `BulkError`, which holds the result, if a transaction fails: no further transaction
        is sent, and the call waits for those in flight. If the call is cancelled, the
        transactions in flight may or may not be applied.
        """
        from etcd_kv._bulk import BulkOptions, BulkSource, BulkWriter, PutCutter

        result = new_result(PutMany, result)
        options = BulkOptions(
            self._channel, in_flight, max_txn_ops, max_request_bytes, progress, timeout
        )
        source = BulkSource("pairs", pairs, PutCutter(options.limits, lease))
        await BulkWriter(self._channel, source, result, options).run()
        return result

    async def delete_many(
        self,
        keys: Iterable[bytes] | AsyncIterable[bytes],
        *,
        in_flight: int = _IN_FLIGHT,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Progress | None = None,
        result: DeleteMany | None = None,
        timeout: float | None = None,
    ) -> DeleteMany:
        """Delete many keys; `deleted` of the result is the number of keys that existed.

        If `keys` is a mapping, its keys are deleted. A transaction is atomic, the call as a whole
        is not. `result`, errors and cancellation are the same as for `put_many`, with a
        `DeleteMany`.
        """
        from etcd_kv._bulk import BulkOptions, BulkSource, BulkWriter, DeleteCutter

        result = new_result(DeleteMany, result)
        options = BulkOptions(
            self._channel, in_flight, max_txn_ops, max_request_bytes, progress, timeout
        )
        source = BulkSource("keys", keys, DeleteCutter(options.limits))
        await BulkWriter(self._channel, source, result, options).run()
        return result

    async def get_many(
        self,
        keys: Iterable[bytes] | AsyncIterable[bytes],
        serializable: bool = False,
        *,
        revision: int | None = None,
        keys_only: bool = False,
        in_flight: int = _IN_FLIGHT,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> list[Get | None]:
        """Read many keys, and return them in the order of `keys`; None for each missing key.

        All keys are read at one revision: `revision`, or the newest one when the first
        transaction is executed. To learn it, the first transaction is sent alone. The reads are
        linearizable; with `serializable` a member answers from its local data, which may be
        stale. `keys_only` leaves the values out. If a member fails, its reads are sent to another
        member.

        Raises `RevisionCompactedError` if the revision is compacted before all keys are read.
        """
        from etcd_kv._bulk import BulkOptions, BulkReader, GetCutter

        options = BulkOptions(
            self._channel, in_flight, max_txn_ops, max_request_bytes, progress, timeout
        )
        cutter = GetCutter(
            options.limits, revision=revision, keys_only=keys_only, serializable=serializable
        )
        reader = BulkReader(self._channel, keys, cutter, options)
        all_found: list[Get | None] = []
        async with aclosing(reader.parts()) as parts:
            async for _, found in parts:
                all_found += found
        return all_found

    def scan_many(
        self,
        keys: Iterable[bytes] | AsyncIterable[bytes],
        *,
        serializable: bool = False,
        revision: int | None = None,
        keys_only: bool = False,
        in_flight: int = _IN_FLIGHT,
        max_txn_ops: int | None = None,
        max_request_bytes: int | None = None,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[tuple[bytes, Get | None], None]:
        """Read many keys, and yield `(key, found)` for each; `found` is None for a missing key.

        The reads are the same as those of `get_many`, but at most the responses of `in_flight`
        transactions are in memory, however many keys there are. Invalid arguments raise
        `TypeError` or `ValueError` in this call; an invalid key raises when all keys before it
        were yielded.
        """
        from etcd_kv._bulk import BulkOptions, BulkReader, GetCutter

        options = BulkOptions(
            self._channel, in_flight, max_txn_ops, max_request_bytes, progress, timeout
        )
        cutter = GetCutter(
            options.limits, revision=revision, keys_only=keys_only, serializable=serializable
        )
        reader = BulkReader(self._channel, keys, cutter, options)
        return _each(reader)


async def _each(reader: BulkReader) -> AsyncGenerator[tuple[bytes, Get | None], None]:
    async with aclosing(reader.parts()) as parts:
        async for part, found in parts:
            for op, got in zip(part.request.success, found, strict=True):
                yield op.request_range.key, got
