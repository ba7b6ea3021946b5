"""What this client adds to the calls of etcd, as traffic: bulk writes, STM and caches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from etcd_client import Cache, ClientError, PutMany, STMResult, STMTransaction
from programme.history import Operation
from programme.traffic import KEYS, PREFIX, Traffic

__all__ = ["Ours"]

_BULK = 6
_IN_ONE = 2
"""So few operations in one transaction that a bulk write has several."""


class Ours(Traffic):
    """One client that has a cache of the keys, and changes them by bulk writes and by STM."""

    _cache: Cache[bytes]

    def kinds(self) -> dict[Callable[[], Awaitable[bool]], int]:
        return {
            self.put: 5,
            self.delete: 3,
            self.put_many: 10,
            self.read_modify_write: 15,
            self.cached: 20,
            self.cached_now: 10,
        }

    async def run(self) -> None:
        while not self.stopping:
            async with AsyncExitStack() as stack:
                opening = self._client.cache(PREFIX.encode(), timeout=self._timeout)
                try:
                    self._cache = await stack.enter_async_context(opening)
                except ClientError:
                    await self._pause_after_failure()  # The member is down.
                    continue
                # No fault ends a cache: an error of it ends the run.
                await super().run()

    async def cached(self) -> bool:
        """Read the cache, which is the state of an older revision."""
        self._read_cache(Operation(self.name, "cached list", self._recorder.clock(), stale=True))
        return True

    async def cached_now(self) -> bool:
        """Read the cache when it has what was written before."""
        operation = Operation(self.name, "cached list now", self._recorder.clock())
        try:
            await self._cache.catch_up(linearizable=True, timeout=self._timeout)
        except ClientError:
            return False
        self._read_cache(operation)
        return True

    def _read_cache(self, operation: Operation) -> None:
        entries = self._cache.items()
        operation.prefix = PREFIX
        operation.reads = {entry.key.decode(): entry.value.decode() for entry in entries}
        operation.revision = entries.revision
        operation.outcome, operation.end = "ok", self._recorder.clock()
        self._recorder.history.add(operation)

    async def put_many(self) -> bool:
        """Put several keys; each is a write of its own, of which the result says how it ended."""
        keys = self._choice.sample(KEYS, _BULK)
        begin = self._recorder.clock()
        writes = [
            Operation(self.name, "put many", begin, writes={key: self._recorder.value(self.name)})
            for key in keys
        ]
        for write in writes:
            self._recorder.history.add(write)
        pairs = {
            key.encode(): (write.writes[key] or "").encode()
            for key, write in zip(keys, writes, strict=True)
        }
        result, error = PutMany(), ""
        try:
            await self._client.put_many(
                pairs, max_txn_ops=_IN_ONE, result=result, timeout=self._timeout
            )
        except ClientError as failure:
            error = f"{type(failure).__name__}: {failure}"
        unknown = {position for part in result.unknown for position in part.positions}
        done = {position for positions in result.done_positions for position in positions}
        for position, write in enumerate(writes):
            write.end = self._recorder.clock()
            write.outcome = "definite"
            if position in done:
                write.outcome = "ok"
            elif position in unknown:
                write.outcome = "indefinite"
            write.error = "" if position in done else error
        return not error

    async def read_modify_write(self) -> bool:
        """Read two keys and write them, if they are still the same."""
        keys = self._choice.sample(KEYS, 2)
        operation = Operation(
            self.name, "stm", 0, writes={key: self._recorder.value(self.name) for key in keys}
        )

        async def body(transaction: STMTransaction) -> None:
            found = await transaction.get_many([key.encode() for key in keys])
            for key, kv in zip(keys, found, strict=True):
                operation.compare[key] = None if kv is None else kv.value.decode()
                transaction.put(key.encode(), (operation.writes[key] or "").encode())

        def result(operation: Operation, answer: STMResult[None]) -> None:
            operation.revision = answer.revision

        return await self._call(
            operation, lambda: self._client.stm(body, timeout=self._timeout), result
        )
