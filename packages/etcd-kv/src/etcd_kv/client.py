"""The key-value service: what a program calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from etcd_channel import ResponseHeader, RevisionCompactedError
from etcd_channel.arguments import check_bytes, check_key
from etcd_kv._compaction import with_compacted_revision
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import (
    LeaseLike,
    checked_prefix,
    checked_range,
    compaction_request,
    delete_request,
    get_request,
    put_request,
    range_request,
)
from etcd_kv.results import Delete, DeleteRange, Get, GetRange, Put, TransactionResult
from etcd_kv.rpcs import COMPACT, DELETE_RANGE, PUT, RANGE, TXN
from etcd_kv.scans import Scans
from etcd_kv.transactions import Compare, Operation, Transactions, txn_request

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from etcd_kv.requests import GetOptions, PrefixOptions, RangeOptions

__all__ = ["KVClient"]


class KVClient(Scans):
    """etcd's key-value service on a channel.

    Keys and values are bytes; a string is refused with a `TypeError` that says how to
    encode it. `timeout` is the number of seconds that a call may take, None the
    channel's. Every call raises a `ClientError`; reads are repeated on another member
    when one fails, writes are not: an error of a write that is not `definite` leaves open
    whether it was applied, and so does cancelling it.
    """

    transactions: ClassVar[Transactions] = Transactions()
    """The words for `transaction`: `transactions.value(key) == value` and so on."""

    # Reading ---------------------------------------------------------------------------

    async def get(
        self,
        key: bytes,
        serializable: bool = False,
        *,
        timeout: float | None = None,
        **options: Unpack[GetOptions],
    ) -> Get | None:
        """Read one key; None if it does not exist.

        The read is linearizable: it sees every write that was acknowledged before it
        began. `serializable` lets the member answer from what it has, which is faster and
        may be old. `options` are `revision` (read at that revision; None or 0 for the
        newest), `keys_only`, and `min_mod_revision`, `max_mod_revision`,
        `min_create_revision`, `max_create_revision`, outside of which the key is taken
        for not existing.

        Raises `RevisionCompactedError` and `FutureRevisionError` for a revision that the
        server has no more, or not yet.
        """
        request = get_request(key, serializable, options)
        try:
            response = await self._channel.call(RANGE, request, timeout=timeout)
        except RevisionCompactedError as error:
            raise await self._with_compacted_revision(error, request, timeout) from error.__cause__
        for keyvalue in response.kvs:
            return Get(response.header, keyvalue)
        return None

    async def get_prefix(
        self,
        key_prefix: bytes,
        sort_order: str | None = None,
        sort_target: str = "key",
        keys_only: bool = False,
        *,
        timeout: float | None = None,
        **options: Unpack[PrefixOptions],
    ) -> GetRange:
        """Read all keys that begin with `key_prefix`; the empty prefix is every key's.

        `sort_order` is "ascend", "descend" or None for the keys' own order, `sort_target`
        one of "key", "version", "create", "mod" and "value". `keys_only` leaves the values
        out. Beyond the options of `get`, `limit` is the most keys to return (None or 0 for
        all), `count_only` returns none but their number, and `serializable` is as there.

        The whole range is read at one revision, the `header`'s, and comes in one response
        without a limit on its size.
        """
        start, end = checked_prefix(key_prefix)
        asked: RangeOptions = {**options, "keys_only": keys_only}
        return await self._get_range(start, end, sort_order, sort_target, asked, timeout)

    async def get_range(
        self,
        range_start: bytes,
        range_end: bytes,
        sort_order: str | None = None,
        sort_target: str = "key",
        *,
        timeout: float | None = None,
        **options: Unpack[RangeOptions],
    ) -> GetRange:
        r"""Read the keys from `range_start` up to, and without, `range_end`.

        `b"\0"` as the end stands for the end of all keys. The rest is as in `get_prefix`.
        """
        start, end = checked_range(range_start, range_end)
        return await self._get_range(start, end, sort_order, sort_target, options, timeout)

    async def get_all(
        self,
        sort_order: str | None = None,
        sort_target: str = "key",
        keys_only: bool = False,
        *,
        timeout: float | None = None,
        **options: Unpack[PrefixOptions],
    ) -> GetRange:
        """Read all keys of the store. The rest is as in `get_prefix`."""
        start, end = checked_prefix(b"")
        asked: RangeOptions = {**options, "keys_only": keys_only}
        return await self._get_range(start, end, sort_order, sort_target, asked, timeout)

    async def _get_range(
        self,
        start: bytes,
        end: bytes,
        sort_order: str | None,
        sort_target: str,
        options: RangeOptions,
        timeout: float | None,
    ) -> GetRange:
        request = range_request(
            start, end, sort_order=sort_order, sort_target=sort_target, options=options
        )
        try:
            response = await self._channel.call(RANGE, request, timeout=timeout)
        except RevisionCompactedError as error:
            raise await self._with_compacted_revision(error, request, timeout) from error.__cause__
        return GetRange(response.header, response.kvs, response.more, response.count)

    async def _with_compacted_revision(
        self, error: RevisionCompactedError, request: pb.RangeRequest, timeout: float | None
    ) -> RevisionCompactedError:
        # A revision that cannot be read lies below the compacted one.
        return await with_compacted_revision(
            self._channel, error, request.key, request.revision + 1, timeout
        )

    # Writing ---------------------------------------------------------------------------

    async def put(
        self,
        key: bytes,
        value: bytes,
        lease: LeaseLike | None = None,
        prev_kv: bool = False,
        *,
        ignore_value: bool = False,
        ignore_lease: bool = False,
        timeout: float | None = None,
    ) -> Put:
        """Put a value under a key.

        `lease` is a lease or its id: the key ends with it. None leaves the key without
        one, also where it had one before. `prev_kv` returns the key as it was.
        `ignore_value` keeps the key's value, which must be given as `b""` then, and
        `ignore_lease` its lease; `KeyNotFoundError` is raised where there is no key.

        Raises `LeaseNotFoundError` for a lease that is gone, `RequestTooLargeError` and
        `NoSpaceError` at the server's limits.
        """
        request = put_request(key, value, lease, prev_kv, ignore_value, ignore_lease)
        response = await self._channel.call(PUT, request, timeout=timeout)
        if prev_kv and response.HasField("prev_kv"):
            return Put(response.header, response.prev_kv)
        return Put(response.header)

    async def delete(
        self, key: bytes, prev_kv: bool = False, *, timeout: float | None = None
    ) -> Delete | None:
        """Delete one key; None if it did not exist. `prev_kv` returns it as it was."""
        request = delete_request(check_key("key", key), None, prev_kv)
        response = await self._channel.call(DELETE_RANGE, request, timeout=timeout)
        if not response.deleted:
            return None
        previous = response.prev_kvs[0] if response.prev_kvs else None
        return Delete(response.header, response.deleted, previous)

    async def delete_prefix(
        self, key_prefix: bytes, prev_kv: bool = False, *, timeout: float | None = None
    ) -> DeleteRange:
        """Delete all keys that begin with `key_prefix`; the empty prefix is every key's.

        `prev_kv` returns them as they were.
        """
        return await self._delete_range(*checked_prefix(key_prefix), prev_kv, timeout)

    async def delete_range(
        self,
        range_start: bytes,
        range_end: bytes,
        prev_kv: bool = False,
        *,
        timeout: float | None = None,
    ) -> DeleteRange:
        r"""Delete the keys from `range_start` up to, and without, `range_end`.

        `b"\0"` as the end stands for the end of all keys. `prev_kv` returns them as they
        were.
        """
        return await self._delete_range(*checked_range(range_start, range_end), prev_kv, timeout)

    async def _delete_range(
        self, start: bytes, end: bytes, prev_kv: bool, timeout: float | None
    ) -> DeleteRange:
        request = delete_request(start, end, prev_kv)
        response = await self._channel.call(DELETE_RANGE, request, timeout=timeout)
        return DeleteRange(response.header, response.deleted, response.prev_kvs)

    # Transactions ----------------------------------------------------------------------

    async def replace(
        self,
        key: bytes,
        initial_value: bytes,
        new_value: bytes,
        lease: LeaseLike | None = None,
        *,
        timeout: float | None = None,
    ) -> bool:
        """Put `new_value` if the key holds `initial_value`; say whether it did.

        A key that does not exist holds nothing, not even an empty value. `lease` is as in
        `put`.
        """
        words = self.transactions
        put = words.put(check_key("key", key), check_bytes("new_value", new_value), lease=lease)
        compare = words.value(key) == check_bytes("initial_value", initial_value)
        return (await self.transaction([compare], [put], timeout=timeout)).succeeded

    async def transaction(
        self,
        compare: Iterable[Compare] | None,
        success: Iterable[Operation] | None = None,
        failure: Iterable[Operation] | None = None,
        *,
        timeout: float | None = None,
    ) -> TransactionResult:
        """Carry out `success` if all of `compare` hold, else `failure`, at one revision.

        Returns a pair: whether the compares held, and a response for each operation. That
        to a get is a list of `(value, Get)`, to a put, delete or nested transaction an
        object with `response_put`, `response_delete_range` or `response_txn`. No compares
        at all hold always.

        Raises `TooManyOperationsError` above the server's limit (128), and
        `DuplicateKeyError` when one key would be modified twice.
        """
        request = txn_request(compare, success, failure)
        try:
            return TransactionResult(await self._channel.call(TXN, request, timeout=timeout))
        except RevisionCompactedError as error:
            # Of several reads it is not said which was refused.
            key = next((read.key for read in _reads(request) if read.revision), b"\0")
            raise await with_compacted_revision(
                self._channel, error, key, 1, timeout
            ) from error.__cause__

    # History ---------------------------------------------------------------------------

    async def compact(
        self, revision: int, physical: bool = False, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Forget what was superseded before `revision`.

        What the keys held at that revision can still be read, and so can all that came
        after it. `physical` waits until the space is free inside the database file.

        Raises `RevisionCompactedError` if it was done before, `FutureRevisionError` for a
        revision that does not exist yet.
        """
        request = compaction_request(revision, physical)
        try:
            response = await self._channel.call(COMPACT, request, timeout=timeout)
        except RevisionCompactedError as error:
            raise await with_compacted_revision(
                self._channel, error, b"\0", revision, timeout
            ) from error.__cause__
        return ResponseHeader(response.header)


def _reads(request: pb.TxnRequest) -> Iterator[pb.RangeRequest]:
    for op in (*request.success, *request.failure):
        kind = op.WhichOneof("request")
        if kind == "request_range":
            yield op.request_range
        elif kind == "request_txn":
            yield from _reads(op.request_txn)
