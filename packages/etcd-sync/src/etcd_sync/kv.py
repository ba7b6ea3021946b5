"""`KVClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import etcd_client
from etcd_client import (
    Compare,
    Delete,
    DeleteRange,
    Get,
    GetRange,
    LeaseLike,
    Operation,
    Put,
    ResponseHeader,
    SortOrder,
    SortTarget,
    TransactionResult,
    Transactions,
)
from etcd_sync.bulk import Bulk
from etcd_sync.scans import Scans
from etcd_sync.stm import STM

__all__ = ["KVClient"]


class KVClient(Bulk, Scans, STM):
    """Reads and writes keys.

    Keys and values are bytes; a string raises a `TypeError` that says how to encode it. `timeout`
    is the number of seconds that a call may take; None means the client's timeout. A call that
    fails raises a `ClientError`. A read is retried on another member when a member fails. A write
    is retried only if it certainly was not applied: a write whose error is not `definite`, or that
    was interrupted, may have been applied.
    """

    _inner: etcd_client.KeyspaceClient
    transactions: ClassVar[Transactions] = Transactions()
    """Builds the compares and operations of `transaction`: `transactions.value(key) == value`."""

    def coalescing(self) -> KVClient:
        """Return a client whose concurrent gets, puts and deletions share transactions.

        `get`, `put` and `delete` have the same arguments, results and errors, but those that are
        called at the same time are sent as one transaction, which costs a fraction of as many
        requests. No call waits for others to come: a call is sent at once, and while some are in
        flight, later ones are gathered. Everything else is sent as by this client.

        Those that are sent together take effect together, at one revision, so each key has one of
        its states only. Each call has its own result, error and timeout, and can be interrupted
        alone. If the server refuses a transaction, its parts are sent again, so the refusal reaches
        only the call that caused it. If the outcome of a transaction is unknown, it is not sent
        again, and each of its writes raises the error, which is not `definite`.

        Gets at a `revision` are sent alone. So are all gets to a member whose etcd is older than
        3.5.7, except 3.4.23 and later ones of 3.4: it could crash when a client is killed (etcd
        issues 14110 and 14891).

        All clients that are made by this method of one client share their transactions.
        """
        return KVClient._of(self._portal, self._portal.call(self._inner.coalescing))

    def get(
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

        The read is linearizable: it sees every write that was acknowledged before the read began.
        With `serializable` the member answers from its local data without consulting the other
        members: this is faster, but the answer may be stale.

        `revision` is the revision to read at; None or 0 means the newest one. `keys_only` leaves
        the value out. `min_mod_revision` and `max_mod_revision` return the key only if it was last
        modified within these revisions, `min_create_revision` and `max_create_revision` only if it
        was created within them; both ends are included, and None or 0 means no limit.

        Raises `RevisionCompactedError` if `revision` was compacted, and `FutureRevisionError` if it
        does not exist yet.
        """
        return self._portal.run(
            self._inner.get,
            key,
            serializable,
            revision=revision,
            keys_only=keys_only,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
            timeout=timeout,
        )

    def get_prefix(
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

        All keys are read at one revision: `revision`, or `header.revision` of the result if it is
        None. They come in one response of any size; `scan_prefix` reads a range that is too large
        for memory.
        """
        return self._portal.run(
            self._inner.get_prefix,
            key_prefix,
            sort_order,
            sort_target,
            keys_only,
            limit=limit,
            revision=revision,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
            timeout=timeout,
        )

    def get_range(
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
        `range_start` alone. A range that ends before it begins is empty. The other arguments are as
        in `get_prefix`.
        """
        return self._portal.run(
            self._inner.get_range,
            range_start,
            range_end,
            sort_order,
            sort_target,
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

    def get_all(
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
        return self._portal.run(
            self._inner.get_all,
            sort_order,
            sort_target,
            keys_only,
            limit=limit,
            revision=revision,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
            timeout=timeout,
        )

    def put(
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
        None detaches the key from the lease that it had. `prev_kv` returns the key as it was before
        the put. `ignore_value` keeps the present value; `value` must be `b""` then. `ignore_lease`
        keeps the present lease; `lease` must be None then.

        Raises `LeaseNotFoundError` if the lease does not exist, `KeyNotFoundError` if the key does
        not exist and `ignore_value` or `ignore_lease` is set, and `RequestTooLargeError` or
        `NoSpaceError` at the server's limits. After a `NoSpaceError` the put may have been applied.
        """
        return self._portal.run(
            self._inner.put,
            key,
            value,
            lease,
            prev_kv,
            ignore_value=ignore_value,
            ignore_lease=ignore_lease,
            timeout=timeout,
        )

    def delete(
        self, key: bytes, prev_kv: bool = False, *, timeout: float | None = None
    ) -> Delete | None:
        """Delete one key; return None if it did not exist.

        `prev_kv` returns the deleted key with its value.
        """
        return self._portal.run(self._inner.delete, key, prev_kv, timeout=timeout)

    def delete_prefix(
        self, key_prefix: bytes, prev_kv: bool = False, *, timeout: float | None = None
    ) -> DeleteRange:
        """Delete all keys that begin with `key_prefix`; the empty prefix matches every key.

        `prev_kv` returns the deleted keys with their values.
        """
        return self._portal.run(self._inner.delete_prefix, key_prefix, prev_kv, timeout=timeout)

    def delete_range(
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
        return self._portal.run(
            self._inner.delete_range, range_start, range_end, prev_kv, timeout=timeout
        )

    def replace(
        self,
        key: bytes,
        initial_value: bytes | str,
        new_value: bytes,
        lease: LeaseLike | None = None,
        *,
        timeout: float | None = None,
    ) -> bool:
        """Replace the value of a key if it equals `initial_value`; return whether it did.

        The comparison and the put are one transaction. A key that does not exist is not replaced,
        even if `initial_value` is empty. A string as `initial_value` is encoded in UTF-8, as in
        transactions. `lease` is as in `put`.
        """
        return self._portal.run(
            self._inner.replace, key, initial_value, new_value, lease, timeout=timeout
        )

    def transaction(
        self,
        compare: Iterable[Compare] | None,
        success: Iterable[Operation] | None = None,
        failure: Iterable[Operation] | None = None,
        *,
        timeout: float | None = None,
    ) -> TransactionResult:
        """Execute `success` if all compares are true, else `failure`, atomically.

        Compares and operations are built by `transactions`. Without compares, `success` is
        executed. All operations take effect at one revision. The result has `succeeded`, which is
        True if all compares were true, `revision`, and the results of the operations by kind:
        `gets`, `puts`, `deletes` and `txns`. It can also be unpacked as a pair, see
        `TransactionResult`.

        Raises `TooManyOperationsError` above the server's limit (128 by default), and
        `DuplicateKeyError` if one key would be modified twice.

        A transaction that only reads can crash a server older than etcd 3.5.5 when it is
        interrupted or times out (etcd issue 14110); `get`, `get_prefix` and `get_range` cannot.
        """
        return self._portal.run(self._inner.transaction, compare, success, failure, timeout=timeout)

    def compact(
        self, revision: int, physical: bool = False, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Discard the history of all keys before `revision`.

        Reads at `revision` and at later revisions still work. `physical` waits until the old
        revisions are removed from the database, which frees space inside its file.

        Raises `RevisionCompactedError` if `revision` was compacted before, and
        `FutureRevisionError` if it does not exist yet.
        """
        return self._portal.run(self._inner.compact, revision, physical, timeout=timeout)
