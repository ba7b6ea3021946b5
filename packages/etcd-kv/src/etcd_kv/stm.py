"""Software transactional memory: runs a function again until what it read is unchanged."""

from __future__ import annotations

import inspect
from asyncio import sleep
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar, get_args

from etcd_channel import ClientError, ResponseHeader, RevisionCompactedError, Service
from etcd_channel.arguments import check_choice, check_int, check_key
from etcd_kv._stm_key_locks import KeyLock, KeyLocks
from etcd_kv._stm_state import LEVELS, STMState
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.rpcs import TXN
from etcd_kv.stm_results import Isolation, STMResult, STMTimeoutError
from etcd_kv.stm_transaction import STMTransaction

__all__ = ["STM"]

T = TypeVar("T")

_MAX_TXN_OPS: Final = 128
# Seconds. The maximum pause after the second conflict, and after any later one.
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.1


class STM(Service):
    """Software transactional memory on the key-value service; part of `KVClient`."""

    async def stm(
        self,
        body: Callable[[STMTransaction], Awaitable[T]],
        *,
        isolation: Isolation = "serializable_snapshot",
        prefetch: Iterable[bytes] = (),
        max_txn_ops: int | None = None,
        timeout: float | None = None,
    ) -> STMResult[T]:
        """Run `body`, and commit its writes atomically if what it read is unchanged.

        `body` is an async function that takes an `STMTransaction`. After a conflict with another
        write it is run again, so it must have no other side effects. What it read before is
        fetched again with the failed commit, in the same round trip. It runs in the caller's
        task. Its return value is the `value` of the returned `STMResult`. An exception in it is
        raised unchanged, and nothing is written.

        `isolation` is the isolation level:

        - "serializable_snapshot": all reads are at one revision. The commit fails if a key or a
          range that was read has changed, or if a key that is written was put since the first
          read.
        - "serializable": the same, except that a key that is written without being read may have
          been put.
        - "repeatable_reads": each read returns the newest revision, but a key that was read before
          is returned unchanged. The commit fails if a key that was read has changed. Keys that
          were added to a range are not detected.
        - "read_committed": each read returns the newest revision. The commit never fails.

        If the body writes nothing, nothing is committed and there is no conflict. At the first
        two levels such a body has read at one revision.

        `prefetch` are keys that the body will read; they are read concurrently before it runs.
        `max_txn_ops` is the limit set on the server by `--max-txn-ops`; None means etcd's
        default, 128. The commit has a compare for each key and each range that was read or
        written.

        `timeout` is the number of seconds for all attempts together; None means the channel's
        timeout. It does not interrupt the body, but the body's reads raise an error after it has
        passed.

        Raises `STMTimeoutError` if no attempt was committed in time, and `TooManyOperationsError`
        if the commit has too many compares or writes. After these, and after any other
        `ClientError` that is `definite`, nothing was written. A commit that fails with an error
        that is not `definite`, or that is cancelled, may have been applied; it is never repeated.
        """
        if not callable(body):
            raise TypeError(
                f"body must be an async function of a transaction, not {type(body).__name__}"
            )
        check_choice("isolation", isolation, get_args(Isolation))
        if isinstance(prefetch, (bytes, str)):
            raise TypeError(
                f"prefetch must be an iterable of keys, not a single {type(prefetch).__name__}"
            )
        keys = [check_key(f"prefetch[{at}]", key) for at, key in enumerate(prefetch)]
        most = (
            _MAX_TXN_OPS
            if max_txn_ops is None
            else check_int("max_txn_ops", max_txn_ops, minimum=1)
        )
        deadline = self._deadline(timeout)
        state = STMState(LEVELS[isolation], keys)
        key_lock = KeyLock(self._channel.shared(KeyLocks))
        attempts, pause = 0, _FIRST_PAUSE
        try:
            while True:
                attempts += 1
                t = STMTransaction(self._channel, state, deadline, attempts, key_lock)
                try:
                    if keys:
                        await t._fetch(keys)
                    value = await _started(body, t)
                except RevisionCompactedError as error:
                    if error is not state.compacted:
                        raise
                    state = state.next()
                    continue
                finally:
                    t._end()
                if state.compacted is not None:  # The body has caught the error.
                    state = state.next()
                    continue
                request = state.commit(most)
                if request is None:
                    return STMResult(value, state.response_header, attempts)
                if deadline.passed:
                    raise STMTimeoutError(
                        "the timeout passed before the commit; nothing was written",
                        attempts=attempts,
                    )
                response = await self._commit(request, deadline.timeout())
                if response.succeeded:
                    return STMResult(value, ResponseHeader(response.header), attempts)
                state = state.next(response)
                key_lock.try_acquire(request.compare[0].key)
                if attempts > 1:
                    import random

                    await sleep(random.uniform(0, pause))
                    pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            key_lock.release()

    async def _commit(self, request: pb.TxnRequest, timeout: float | None) -> pb.TxnResponse:
        try:
            return await self._channel.call(TXN, request, timeout=timeout)
        except ClientError as error:
            if not error.definite:
                note = "the transaction may have been committed"
                error.hint = note if error.hint is None else f"{error.hint}; {note}"
            raise


def _started(body: Callable[[STMTransaction], Awaitable[T]], t: STMTransaction) -> Awaitable[T]:
    running = body(t)
    if not inspect.isawaitable(running):
        raise TypeError(
            "body must be an async function of a transaction, but it returned"
            f" {type(running).__name__}"
        )
    return running
