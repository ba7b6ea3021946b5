"""`STMTransaction`, with which the body of `KVClient.stm` reads and writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from etcd_channel import (
    ChannelLike,
    ClientError,
    KeyValue,
    KeyValueLike,
    LeaseLike,
    RevisionCompactedError,
)
from etcd_channel.arguments import check_int, check_key, check_prefix
from etcd_channel.base_classes import NonCopyable
from etcd_channel.deadline import Deadline
from etcd_channel.tasks import finish
from etcd_kv._stm_key_locks import KeyLock
from etcd_kv._stm_ranges import KeyRange
from etcd_kv._stm_state import UNREAD, STMState
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import checked_range, put_request
from etcd_kv.rpcs import RANGE
from etcd_kv.stm_results import STMTimeoutError

__all__ = ["STMTransaction"]

# Seconds. The maximum time to wait for a transaction of this process that has locked a key.
_LONGEST_WAIT: Final = 0.5


class STMTransaction(NonCopyable):
    """One attempt of a transaction of `KVClient.stm`, which is passed to the body.

    Reads include the earlier writes of the body. Writes are sent with the commit, after the body
    has returned. The methods raise `RuntimeError` in another task than that of the body, and
    after the body has returned.

    A read that fails raises a `ClientError` that is `definite`, because nothing was written.
    """

    __slots__ = ("_attempts", "_channel", "_deadline", "_key_lock", "_state", "_task")

    def __init__(
        self,
        channel: ChannelLike,
        state: STMState,
        deadline: Deadline,
        attempts: int,
        key_lock: KeyLock,
    ) -> None:
        self._channel = channel
        self._state = state
        self._deadline = deadline
        self._attempts = attempts
        self._key_lock = key_lock
        self._task: asyncio.Task[object] | None = asyncio.current_task()

    @property
    def attempt(self) -> int:
        """The number of the attempt, 1 for the first run of the body."""
        return self._attempts

    # Reads -----------------------------------------------------------------------------

    async def get(self, key: bytes) -> KeyValue | None:
        """Return one key with its value; None if the key does not exist.

        The revisions and the version of a key that the body has put are 0, because they are not
        known before the commit.
        """
        self._check()
        state = self._state
        found = state.known(check_key("key", key))
        if found is UNREAD:
            await self._before_read(key)
            found = state.record_key(key, await self._read(state.request(key)))
        return None if found is None else KeyValue(found)

    async def get_many(self, keys: Iterable[bytes]) -> list[KeyValue | None]:
        """Return several keys, in their order; None for each key that does not exist.

        They are read concurrently. Each result is the same as that of `get`.
        """
        self._check()
        if isinstance(keys, (bytes, str)):
            raise TypeError(f"keys must be an iterable of keys, not a single {type(keys).__name__}")
        wanted = [check_key(f"keys[{at}]", key) for at, key in enumerate(keys)]
        await self._fetch(wanted)
        return [await self.get(key) for key in wanted]

    async def get_prefix(self, key_prefix: bytes, *, limit: int | None = None) -> list[KeyValue]:
        """Return the keys that begin with `key_prefix`, sorted; the empty prefix matches all keys.

        `limit` is the maximum number of keys to return; None or 0 means all. The commit fails if
        a key that was returned has changed. At the levels "serializable" and
        "serializable_snapshot" it also fails if a key was added to the range, or, if `limit` left
        keys out, to its part up to the last key that was read.
        """
        return await self._range(check_prefix("key_prefix", key_prefix), limit)

    async def get_range(
        self, range_start: bytes, range_end: bytes | None, *, limit: int | None = None
    ) -> list[KeyValue]:
        r"""Return the keys from `range_start` (included) to `range_end` (excluded), sorted.

        A `range_end` of `b"\0"` means every key from `range_start` on; None or `b""` means
        `range_start` alone. A range that ends before it begins is empty. `limit` and
        conflicts are the same as for `get_prefix`.
        """
        return await self._range(checked_range(range_start, range_end), limit)

    async def _range(self, ends: tuple[bytes, bytes], limit: int | None) -> list[KeyValue]:
        self._check()
        wanted = 0 if limit is None else check_int("limit", limit)
        state, keys = self._state, KeyRange.of_request(*ends)
        every: list[KeyValueLike] = []
        for part in state.left_of(keys):
            left = wanted - len(every)
            if wanted and left <= 0:
                break
            most = state.limit(part, left) if wanted else 0
            found = state.known_range(part, most)
            if found is None:
                await self._before_read(part.start)
                response = await self._read(state.request(part, most))
                found = state.record_range(part, most, response)
            every += state.existing(found)
        return [KeyValue(kv) for kv in state.merged(keys, every, wanted)]

    async def _fetch(self, keys: Sequence[bytes]) -> None:
        """Read the keys that are not known yet, without recording that the body has read them."""
        state = self._state
        unread = [key for key in dict.fromkeys(keys) if state.known_fetched(key) is UNREAD]
        if unread:
            await self._before_read(unread[0])
        if unread and state.level.one_revision and not state.revision:
            # The first read is sent alone, because the others read at its revision.
            first = unread.pop(0)
            state.record_fetched(first, await self._read(state.request(first)))
        responses = await self._read_all([state.request(key) for key in unread])
        for key, response in zip(unread, responses, strict=True):
            state.record_fetched(key, response)

    async def _before_read(self, key: bytes) -> None:
        """Wait before the first read if another transaction has locked the key."""
        if self._state.header is None:
            await self._key_lock.wait(key, self._deadline.timeout(_LONGEST_WAIT))

    async def _read_all(self, requests: Sequence[pb.RangeRequest]) -> list[pb.RangeResponse]:
        # Not in one transaction: etcd before 3.5.5 can panic when a transaction that only reads is
        # cancelled (etcd issue 14110).
        if len(requests) < 2:
            return [await self._read(request) for request in requests]
        tasks = [asyncio.ensure_future(self._read(request)) for request in requests]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            return [task.result() for task in tasks]
        except BaseException as error:
            for task in tasks:
                task.cancel()
            await finish(asyncio.gather(*tasks, return_exceptions=True), error)
            raise

    async def _read(self, request: pb.RangeRequest) -> pb.RangeResponse:
        if self._deadline.passed:
            raise STMTimeoutError(
                "the timeout passed before a read of the body", attempts=self._attempts
            )
        try:
            return await self._channel.call(RANGE, request, timeout=self._deadline.timeout())
        except RevisionCompactedError as error:
            # All reads of the attempt raise one object, by which `STM.stm` knows it.
            first = self._state.compacted
            if first is None:
                self._state.compacted = error
                raise
        except ClientError as error:
            error.definite = True  # Nothing is written before the commit.
            raise
        try:
            raise first
        finally:
            # The error's traceback refers to this frame: break the reference cycle.
            del first

    # Writes ----------------------------------------------------------------------------

    def put(self, key: bytes, value: bytes, lease: LeaseLike | None = None) -> None:
        """Set the value of a key, and create the key if it does not exist.

        `lease` is a lease or its ID; None detaches the key from its lease. To keep the lease, pass
        the `lease` of the key that was read.
        """
        self._check()
        self._state.put(put_request(key, value, lease))

    def delete(self, key: bytes) -> None:
        """Delete a key, if it exists."""
        self._check()
        self._state.delete(check_key("key", key))

    def delete_prefix(self, key_prefix: bytes) -> None:
        """Delete all keys that begin with `key_prefix`; the empty prefix matches every key.

        All keys that exist at the commit are deleted, including those that the body has not read.
        Keys that the body puts after this call are kept.
        """
        self._check()
        self._state.delete_range(KeyRange.of_request(*check_prefix("key_prefix", key_prefix)))

    def delete_range(self, range_start: bytes, range_end: bytes | None) -> None:
        """Delete the keys from `range_start` (included) to `range_end` (excluded).

        `range_end` is the same as for `get_range`; the keys are deleted as by `delete_prefix`. A
        range that ends before it begins deletes nothing, and is no write.
        """
        self._check()
        self._state.delete_range(KeyRange.of_request(*checked_range(range_start, range_end)))

    # The body --------------------------------------------------------------------------

    def _check(self) -> None:
        if self._task is None:
            raise RuntimeError("the transaction was used after its body had ended")
        if asyncio.current_task() is not self._task:
            raise RuntimeError(
                "the transaction was used in another task than its body:"
                " get_many reads several keys at the same time"
            )

    def _end(self) -> None:
        """Refuse any further use."""
        self._task = None

    def __repr__(self) -> str:
        return f"STMTransaction(attempt={self._attempts})"
