"""`STMTransaction` and `STM` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import etcd_client
from etcd_client import Isolation, KeyValue, LeaseLike, STMResult
from etcd_sync._conversation import Conversation
from etcd_sync._handle import Handle, Service

__all__ = ["STM", "STMTransaction"]

T = TypeVar("T")


class STMTransaction(Handle):
    """One attempt of a transaction of `KVClient.stm`, which is passed to the body.

    Reads include the earlier writes of the body. Writes are sent with the commit, after the body
    has returned. The methods raise `RuntimeError` in another thread than that of the body, and
    after the body has returned.

    A read that fails raises a `ClientError` that is `definite`, because nothing was written.
    """

    _inner: etcd_client.STMTransaction

    @property
    def attempt(self) -> int:
        """The number of the attempt, 1 for the first run of the body."""
        return self._inner.attempt

    def get(self, key: bytes) -> KeyValue | None:
        """Return one key with its value; None if the key does not exist.

        The revisions and the version of a key that the body has put are 0, because they are not
        known before the commit.
        """
        return self._portal.run(self._inner.get, key)

    def get_many(self, keys: Iterable[bytes]) -> list[KeyValue | None]:
        """Return several keys, in their order; None for each key that does not exist.

        They are read concurrently. Each result is the same as that of `get`.
        """
        return self._portal.run(self._inner.get_many, keys)

    def get_prefix(self, key_prefix: bytes, *, limit: int | None = None) -> list[KeyValue]:
        """Return the keys that begin with `key_prefix`, sorted; the empty prefix matches all keys.

        `limit` is the maximum number of keys to return; None or 0 means all. The commit fails if a
        key that was returned has changed. At the levels "serializable" and "serializable_snapshot"
        it also fails if a key was added to the range, or, if `limit` left keys out, to its part up
        to the last key that was read.
        """
        return self._portal.run(self._inner.get_prefix, key_prefix, limit=limit)

    def get_range(
        self, range_start: bytes, range_end: bytes | None, *, limit: int | None = None
    ) -> list[KeyValue]:
        r"""Return the keys from `range_start` (included) to `range_end` (excluded), sorted.

        A `range_end` of `b"\0"` means every key from `range_start` on; None or `b""` means
        `range_start` alone. A range that ends before it begins is empty. `limit` and conflicts are
        the same as for `get_prefix`.
        """
        return self._portal.run(self._inner.get_range, range_start, range_end, limit=limit)

    def put(self, key: bytes, value: bytes, lease: LeaseLike | None = None) -> None:
        """Set the value of a key, and create the key if it does not exist.

        `lease` is a lease or its ID; None detaches the key from its lease. To keep the lease, pass
        the `lease` of the key that was read.
        """
        self._portal.call(self._inner.put, key, value, lease)

    def delete(self, key: bytes) -> None:
        """Delete a key, if it exists."""
        self._portal.call(self._inner.delete, key)

    def delete_prefix(self, key_prefix: bytes) -> None:
        """Delete all keys that begin with `key_prefix`; the empty prefix matches every key.

        All keys that exist at the commit are deleted, including those that the body has not read.
        Keys that the body puts after this call are kept.
        """
        self._portal.call(self._inner.delete_prefix, key_prefix)

    def delete_range(self, range_start: bytes, range_end: bytes | None) -> None:
        """Delete the keys from `range_start` (included) to `range_end` (excluded).

        `range_end` is the same as for `get_range`; the keys are deleted as by `delete_prefix`. A
        range that ends before it begins deletes nothing, and is no write.
        """
        self._portal.call(self._inner.delete_range, range_start, range_end)


class STM(Service):
    """Software transactional memory on the key-value service; part of `KVClient`."""

    _inner: etcd_client.KeyspaceClient

    def stm(
        self,
        body: Callable[[STMTransaction], T],
        *,
        isolation: Isolation = "serializable_snapshot",
        prefetch: Iterable[bytes] = (),
        max_txn_ops: int | None = None,
        timeout: float | None = None,
    ) -> STMResult[T]:
        """Run `body`, and commit its writes atomically if what it read is unchanged.

        `body` is a plain function that takes an `STMTransaction`. After a conflict with another
        write it is run again, so it must have no other side effects. What it read before is fetched
        again with the failed commit, in the same round trip. It runs in the caller's thread, and
        may use the client. Its return value is the `value` of the returned `STMResult`. An
        exception in it is raised unchanged, and nothing is written.

        `isolation` is the isolation level:

        - "serializable_snapshot": all reads are at one revision. The commit fails if a key or a
          range that was read has changed, or if a key that is written was put since the first read.
        - "serializable": the same, except that a key that is written without being read may have
          been put.
        - "repeatable_reads": each read returns the newest revision, but a key that was read before
          is returned unchanged. The commit fails if a key that was read has changed. Keys that were
          added to a range are not detected.
        - "read_committed": each read returns the newest revision. The commit never fails.

        If the body writes nothing, nothing is committed and there is no conflict. At the first two
        levels such a body has read at one revision.

        `prefetch` are keys that the body will read; they are read concurrently before it runs.
        `max_txn_ops` is the limit set on the server by `--max-txn-ops`; None means etcd's default,
        128. The commit has a compare for each key and each range that was read or written.

        `timeout` is the number of seconds for all attempts together; None means the client's
        timeout. It does not interrupt the body, but the body's reads raise an error after it has
        passed.

        Raises `STMTimeoutError` if no attempt was committed in time, and `TooManyOperationsError`
        if the commit has too many compares or writes. After these, and after any other
        `ClientError` that is `definite`, nothing was written. A commit that fails with an error
        that is not `definite`, or that is interrupted, may have been applied; it is never repeated.
        """
        if not callable(body):
            raise TypeError(f"body must be a function of a transaction, not {type(body).__name__}")
        conversation = Conversation(self._portal)

        async def run(t: etcd_client.STMTransaction) -> T:
            return await conversation.ask(body, STMTransaction._of(conversation.within, t))

        return conversation.hold(
            self._inner.stm,
            run,
            isolation=isolation,
            prefetch=prefetch,
            max_txn_ops=max_txn_ops,
            timeout=timeout,
        )
