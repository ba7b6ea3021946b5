"""`KVClient`, the client of etcd's key-value service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from etcd_channel import ChannelLike, LeaseLike, ResponseHeader, Service
from etcd_channel.arguments import check_bytes, check_key, check_prefix
from etcd_kv._compaction import call_compact, call_range, call_txn
from etcd_kv._direct import DirectCalls
from etcd_kv.bulk import Bulk
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import (
    SortOrder,
    SortTarget,
    checked_range,
    compaction_request,
    delete_request,
    put_request,
    range_request,
)
from etcd_kv.results import Delete, DeleteRange, Get, GetRange, Put, delete_of, get_of, put_of
from etcd_kv.rpcs import DELETE_RANGE, PUT
from etcd_kv.scans import Scans
from etcd_kv.stm import STM
from etcd_kv.transaction_results import TransactionResult
from etcd_kv.transactions import Compare, Operation, Transactions, txn_request

__all__ = ["KVClient"]


class KVClient(Bulk, Scans, STM):
    """Reads and writes keys over a channel.

    Keys and values are bytes; a string raises a `TypeError` that says how to encode it.
    `timeout` is the number of seconds that a call may take; None means the channel's timeout.
    A call that fails raises a `ClientError`. A read is retried on another member when a member
    fails. A write is retried only if it certainly was not applied: a write whose error is not
    `definite`, or that was cancelled, may have been applied.
    """

    transactions: ClassVar[Transactions] = Transactions()
    """Builds the compares and operations of `transaction`: `transactions.value(key) == value`."""

    def __init__(self, channel: ChannelLike | Service) -> None:
        super().__init__(channel)
        # The view that takes plain calls without their messages, if there is one.
        self._direct = self._channel if isinstance(self._channel, DirectCalls) else None

    def coalescing(self) -> KVClient:
        """Return a client whose concurrent gets, puts and deletions share transactions.

        `get`, `put` and `delete` have the same arguments, results and errors, but those that are
        called at the same time are sent as one transaction, which costs a fraction of as many
        requests. No call waits for others to come: a call is sent at once, and while some are in
        flight, later ones are gathered. Everything else is sent as by this client.

        Those that are sent together take effect together, at one revision, so each key has one
        of its states only. Each call has its own result, error and timeout, and can be cancelled
        alone. If the server refuses a transaction, its parts are sent again, so the refusal reaches
        only the call that caused it. If the outcome of a transaction is unknown, it is not sent
        again, and each of its writes raises the error, which is not `definite`.

        Gets at a `revision` are sent alone. So are all gets to a member whose etcd is older than
        3.5.7, except 3.4.23 and later ones of 3.4: it could crash when a client is killed (etcd
        issues 14110 and 14891).

        All clients that are made by this method on one channel or view share their transactions.
        """
        from etcd_kv._coalescing import coalescing_view

        return KVClient(coalescing_view(self._channel))

    # Reads -----------------------------------------------------------------------------

    async def get(
        self,
        key: bytes,
        serializable: bool = False,
        *,
        revision: int | None = None,
        keys_only: bool = False,
        min_mod_revision: int | None = None,
        max_mod_revision: int | None = None,
        min_create_revision: int | None = None,
        max_create_revision: int | None = None,
        timeout: float | None = None,
    ) -> Get | None:
        """Return one key with its value; None if the key does not exist.

        The read is linearizable: it sees every write that was acknowledged before the read
        began. With `serializable` the member answers from its local data without consulting the
        other members: this is faster, but the answer may be stale.

        `revision` is the revision to read at; None or 0 means the newest one. `keys_only` leaves
        the value out. `min_mod_revision` and `max_mod_revision` return the key only if it was
        last modified within these revisions, `min_create_revision` and `max_create_revision`
        only if it was created within them; both ends are included, and None or 0 means no limit.

        Raises `RevisionCompactedError` if `revision` was compacted, and `FutureRevisionError` if
        it does not exist yet.
        """
        direct = self._direct
        if (
            direct is not None
            and type(serializable) is bool
            and revision is None
            and keys_only is False
            and min_mod_revision is None
            and max_mod_revision is None
            and min_create_revision is None
            and max_create_revision is None
        ):
            return await direct.get(check_key("key", key), serializable, timeout)
        # Without limit, which has no effect on one key, and count_only, which returns no key.
        request = range_request(
            check_key("key", key),
            serializable=serializable,
            revision=revision,
            keys_only=keys_only,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        response = await call_range(self._channel, request, timeout)
        return get_of(response.header, response)

    async def get_prefix(
        self,
        key_prefix: bytes,
        sort_order: SortOrder | None = None,
        sort_target: SortTarget = "key",
        keys_only: bool = False,
        *,
        limit: int | None = None,
        revision: int | None = None,
        count_only: bool = False,
        serializable: bool = False,
        min_mod_revision: int | None = None,
        max_mod_revision: int | None = None,
        min_create_revision: int | None = None,
        max_create_revision: int | None = None,
        timeout: float | None = None,
    ) -> GetRange:
        """Return all keys that begin with `key_prefix`; the empty prefix matches every key.

        `sort_order` is "ascend" or "descend"; None means "ascend". `sort_target` is the field to
        sort by: "key", "version", "create", "mod" or "value". `keys_only` leaves the values out.
        `limit` is the maximum number of keys to return, None or 0 means all; `more` of the result
        is True if the limit left keys out. `count_only` returns the number of keys without the
        keys. `revision`, `serializable`, the limits of revisions and the errors are as in `get`.

        All keys are read at one revision: `revision`, or `header.revision` of the result if it
        is None. They come in one response of any size; `scan_prefix` reads a range that is too
        large for memory.
        """
        start, end = check_prefix("key_prefix", key_prefix)
        request = range_request(
            start,
            end,
            sort_order=sort_order,
            sort_target=sort_target,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        return await self._get_range(request, timeout)

    async def get_range(
        self,
        range_start: bytes,
        range_end: bytes | None,
        sort_order: SortOrder | None = None,
        sort_target: SortTarget = "key",
        *,
        limit: int | None = None,
        revision: int | None = None,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        min_mod_revision: int | None = None,
        max_mod_revision: int | None = None,
        min_create_revision: int | None = None,
        max_create_revision: int | None = None,
        timeout: float | None = None,
    ) -> GetRange:
        r"""Return the keys from `range_start` (included) to `range_end` (excluded).

        A `range_end` of `b"\0"` means every key from `range_start` on; None or `b""` means
        `range_start` alone. A range that ends before it begins is empty. The other arguments
        are as in `get_prefix`.
        """
        start, end = checked_range(range_start, range_end)
        request = range_request(
            start,
            end,
            sort_order=sort_order,
            sort_target=sort_target,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        return await self._get_range(request, timeout)

    async def get_all(
        self,
        sort_order: SortOrder | None = None,
        sort_target: SortTarget = "key",
        keys_only: bool = False,
        *,
        limit: int | None = None,
        revision: int | None = None,
        count_only: bool = False,
        serializable: bool = False,
        min_mod_revision: int | None = None,
        max_mod_revision: int | None = None,
        min_create_revision: int | None = None,
        max_create_revision: int | None = None,
        timeout: float | None = None,
    ) -> GetRange:
        """Return all keys of the store; the arguments are as in `get_prefix`."""
        return await self.get_prefix(
            b"",
            sort_order=sort_order,
            sort_target=sort_target,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
            timeout=timeout,
        )

    async def _get_range(self, request: pb.RangeRequest, timeout: float | None) -> GetRange:
        response = await call_range(self._channel, request, timeout)
        return GetRange.from_response(response.header, response.kvs, response.more, response.count)

    # Writes ----------------------------------------------------------------------------

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
        """Set the value of a key, and create the key if it does not exist.

        `lease` is a lease or its ID: etcd deletes the key when the lease expires or is revoked.
        None detaches the key from the lease that it had. `prev_kv` returns the key as it was
        before the put. `ignore_value` keeps the present value; `value` must be `b""` then.
        `ignore_lease` keeps the present lease; `lease` must be None then.

        Raises `LeaseNotFoundError` if the lease does not exist, `KeyNotFoundError` if the key
        does not exist and `ignore_value` or `ignore_lease` is set, and `RequestTooLargeError` or
        `NoSpaceError` at the server's limits. After a `NoSpaceError` the put may have been
        applied.
        """
        direct = self._direct
        if (
            direct is not None
            and lease is None
            and prev_kv is False
            and ignore_value is False
            and ignore_lease is False
        ):
            return await direct.put(check_key("key", key), check_bytes("value", value), timeout)
        request = put_request(key, value, lease, prev_kv, ignore_value, ignore_lease)
        response = await self._channel.call(PUT, request, timeout=timeout)
        return put_of(response.header, response)

    async def delete(
        self, key: bytes, prev_kv: bool = False, *, timeout: float | None = None
    ) -> Delete | None:
        """Delete one key; return None if it did not exist.

        `prev_kv` returns the deleted key with its value.
        """
        key = check_key("key", key)
        if self._direct is not None and prev_kv is False:
            return await self._direct.delete(key, timeout)
        request = delete_request(key, None, prev_kv)
        response = await self._channel.call(DELETE_RANGE, request, timeout=timeout)
        return delete_of(response.header, response)

    async def delete_prefix(
        self, key_prefix: bytes, prev_kv: bool = False, *, timeout: float | None = None
    ) -> DeleteRange:
        """Delete all keys that begin with `key_prefix`; the empty prefix matches every key.

        `prev_kv` returns the deleted keys with their values.
        """
        return await self._delete_range(*check_prefix("key_prefix", key_prefix), prev_kv, timeout)

    async def delete_range(
        self,
        range_start: bytes,
        range_end: bytes | None,
        prev_kv: bool = False,
        *,
        timeout: float | None = None,
    ) -> DeleteRange:
        r"""Delete the keys from `range_start` (included) to `range_end` (excluded).

        A `range_end` of `b"\0"` means every key from `range_start` on; None or `b""` means
        `range_start` alone. A range that ends before it begins is empty. `prev_kv` returns the
        deleted keys with their values.
        """
        return await self._delete_range(*checked_range(range_start, range_end), prev_kv, timeout)

    async def _delete_range(
        self, start: bytes, end: bytes, prev_kv: bool, timeout: float | None
    ) -> DeleteRange:
        request = delete_request(start, end, prev_kv)
        response = await self._channel.call(DELETE_RANGE, request, timeout=timeout)
        return DeleteRange.from_response(response.header, response.deleted, response.prev_kvs)

    # Transactions ----------------------------------------------------------------------

    async def replace(
        self,
        key: bytes,
        initial_value: bytes | str,
        new_value: bytes,
        lease: LeaseLike | None = None,
        *,
        timeout: float | None = None,
    ) -> bool:
        """Replace the value of a key if it equals `initial_value`; return whether it did.

        The comparison and the put are one transaction. A key that does not exist is not
        replaced, even if `initial_value` is empty. A string as `initial_value` is encoded in
        UTF-8, as in transactions. `lease` is as in `put`.
        """
        txn = self.transactions
        put = txn.put(check_key("key", key), check_bytes("new_value", new_value), lease=lease)
        if not isinstance(initial_value, str):
            check_bytes("initial_value", initial_value)
        compare = txn.value(key) == initial_value
        return (await self.transaction([compare], [put], timeout=timeout)).succeeded

    async def transaction(
        self,
        compare: Iterable[Compare] | None,
        success: Iterable[Operation] | None = None,
        failure: Iterable[Operation] | None = None,
        *,
        timeout: float | None = None,
    ) -> TransactionResult:
        """Execute `success` if all compares are true, else `failure`, atomically.

        Compares and operations are built by `transactions`. Without compares, `success` is
        executed. All operations take effect at one revision. The result has `succeeded`, which
        is True if all compares were true, `revision`, and the results of the operations by kind:
        `gets`, `puts`, `deletes` and `txns`. It can also be unpacked as a pair, see
        `TransactionResult`.

        Raises `TooManyOperationsError` above the server's limit (128 by default), and
        `DuplicateKeyError` if one key would be modified twice.

        A transaction that only reads can crash a server older than etcd 3.5.5 when it is
        cancelled or times out (etcd issue 14110); `get`, `get_prefix` and `get_range` cannot.
        """
        request = txn_request(compare, success, failure)
        response = await call_txn(self._channel, request, timeout)
        return TransactionResult.from_response(response.header, response)

    # History ---------------------------------------------------------------------------

    async def compact(
        self, revision: int, physical: bool = False, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Discard the history of all keys before `revision`.

        Reads at `revision` and at later revisions still work. `physical` waits until the old
        revisions are removed from the database, which frees space inside its file.

        Raises `RevisionCompactedError` if `revision` was compacted before, and
        `FutureRevisionError` if it does not exist yet.
        """
        request = compaction_request(revision, physical)
        response = await call_compact(self._channel, request, timeout)
        return ResponseHeader(response.header)
