"""The traffic of etcd's own robustness tests: each client makes one call after the other."""

from __future__ import annotations

import asyncio
import builtins
import random
from collections.abc import Awaitable, Callable
from functools import partial

from etcd_client import Client, DeleteRange, Get, GetRange, Put, TransactionResult, Watch
from etcd_client import Operation as TxnOperation
from etcd_client.errors import ClientClosedError, LeaseNotFoundError
from programme.history import Operation, Watched
from programme.recorder import Recorder

__all__ = ["KEYS", "LEASED", "PREFIX", "Traffic"]

PREFIX = "k/"
KEYS = [f"{PREFIX}{number}" for number in range(10)]
LEASED = "leased/"
_PAUSE_AFTER_FAILURE = 0.01
_OPERATIONS_IN_TRANSACTION = 4
_TTL = 600
"""Seconds: what is not revoked is there at the end."""
_NO_LEASE = (LeaseNotFoundError.__name__, ClientClosedError.__name__)
"""The errors after which a lease cannot be revoked; the client is closed when a run breaks."""


class Traffic:
    """One client and its mix of calls, until it is told to stop."""

    def __init__(
        self,
        name: str,
        client: Client,
        recorder: Recorder,
        choice: random.Random,
        *,
        pause: float,
        timeout: float,
    ) -> None:
        self.name = name
        self.stopping = False
        self._client = client
        self._recorder = recorder
        self._choice = choice
        self._pause = pause
        self._timeout = timeout
        self._lease: int | None = None
        self._unrevoked: builtins.list[int] = []
        self._revision = 0

    def kinds(self) -> dict[Callable[[], Awaitable[bool]], int]:
        """The kinds of calls, and how often each is made."""
        return {
            self.put: 20,
            self.get: 15,
            self.stale_get: 10,
            self.transaction: 10,
            self.compare_and_set: 8,
            self.delete: 6,
            self.list: 10,
            self.stale_list: 6,
            self.get_at: 5,
            self.put_with_lease: 5,
            self.revoke: 3,
        }

    async def run(self) -> None:
        """Call until `stopping`."""
        kinds = self.kinds()
        while not self.stopping:
            if await self._choice.choices([*kinds], [*kinds.values()])[0]():
                await asyncio.sleep(self._choice.uniform(0, 2 * self._pause))
            else:
                await self._pause_after_failure()
        await self.revoke()
        for lease in self._unrevoked:
            while not await self._revoke(lease):
                await self._pause_after_failure()

    # The kinds of calls; each returns whether it was served. ---------------------------

    async def put(self) -> bool:
        key, value = self._key(), self._recorder.value(self.name)
        operation = Operation(self.name, "put", 0, writes={key: value})
        return await self._call(
            operation,
            lambda: self._client.put(key.encode(), value.encode(), timeout=self._timeout),
            _put,
        )

    async def get(self) -> bool:
        return await self._get(stale=False)

    async def stale_get(self) -> bool:
        return await self._get(stale=True)

    async def _get(self, *, stale: bool) -> bool:
        key = self._key()

        def result(operation: Operation, found: Get | None) -> None:
            operation.reads = {key: None if found is None else found.value.decode()}
            operation.revision = 0 if found is None else found.header.revision

        operation = Operation(self.name, "stale get" if stale else "get", 0, stale=stale)
        return await self._call(
            operation,
            lambda: self._client.get(key.encode(), stale, timeout=self._timeout),
            result,
        )

    async def get_at(self) -> bool:
        """Read all keys at a revision that was seen before; it may be compacted by now."""
        at = max(1, self._revision - self._choice.randrange(20))
        operation = Operation(self.name, "list at", 0, prefix=PREFIX, at=at)
        return await self._call(
            operation,
            lambda: self._client.get_prefix(PREFIX.encode(), revision=at, timeout=self._timeout),
            _listed,
        )

    async def list(self) -> bool:
        operation = Operation(self.name, "list", 0, prefix=PREFIX)
        return await self._call(
            operation,
            lambda: self._client.get_prefix(PREFIX.encode(), timeout=self._timeout),
            _listed,
        )

    async def stale_list(self) -> bool:
        operation = Operation(self.name, "stale list", 0, prefix=PREFIX, stale=True)
        return await self._call(
            operation,
            lambda: self._client.get_prefix(
                PREFIX.encode(), serializable=True, timeout=self._timeout
            ),
            _listed,
        )

    async def transaction(self) -> bool:
        """Write and read several keys at once; the first is always written (etcd issue 14110)."""
        txn = self._client.transactions
        keys = self._choice.sample(KEYS, _OPERATIONS_IN_TRANSACTION)
        operation = Operation(self.name, "transaction", 0)
        operations: builtins.list[TxnOperation] = []
        read: builtins.list[str] = []
        for number, key in enumerate(keys):
            kind = "put" if number == 0 else self._choice.choice(("put", "put", "delete", "get"))
            if kind == "put":
                operation.writes[key] = value = self._recorder.value(self.name)
                operations.append(txn.put(key, value))
            elif kind == "delete":
                operation.writes[key] = None
                operations.append(txn.delete(key))
            else:
                read.append(key)
                operations.append(txn.get(key))

        def result(operation: Operation, answer: TransactionResult) -> None:
            operation.revision = answer.revision
            for key, found in zip(read, answer.gets, strict=True):
                operation.reads[key] = found[0].value.decode() if found else None

        return await self._call(
            operation,
            lambda: self._client.transaction(None, operations, timeout=self._timeout),
            result,
        )

    async def compare_and_set(self) -> bool:
        """Read a key, then write it if it is still the same."""
        key = self._key()
        if not await self._get_one(key):
            return False
        expected = self._seen
        txn, value = self._client.transactions, self._recorder.value(self.name)
        condition = txn.version(key) == 0 if expected is None else txn.value(key) == expected
        operation = Operation(
            self.name, "compare and set", 0, writes={key: value}, compare={key: expected}
        )

        def result(operation: Operation, answer: TransactionResult) -> None:
            operation.revision, operation.succeeded = answer.revision, answer.succeeded

        return await self._call(
            operation,
            lambda: self._client.transaction(
                [condition], [txn.put(key, value)], timeout=self._timeout
            ),
            result,
        )

    async def _get_one(self, key: str) -> bool:
        self._seen: str | None = None

        def result(operation: Operation, found: Get | None) -> None:
            self._seen = None if found is None else found.value.decode()
            operation.reads = {key: self._seen}
            operation.revision = 0 if found is None else found.header.revision

        return await self._call(
            Operation(self.name, "get", 0),
            lambda: self._client.get(key.encode(), timeout=self._timeout),
            result,
        )

    async def delete(self) -> bool:
        key = self._key()

        def result(operation: Operation, answer: DeleteRange) -> None:
            operation.revision, operation.deleted = answer.header.revision, answer.deleted

        return await self._call(
            Operation(self.name, "delete", 0, writes={key: None}),
            lambda: self._client.delete_range(
                key.encode(), key.encode() + b"\0", timeout=self._timeout
            ),
            result,
        )

    async def put_with_lease(self) -> bool:
        if self._lease is None:
            granted = await self._recorder.call(
                Operation(self.name, "grant", 0),
                lambda: self._client.lease(_TTL, timeout=self._timeout),
                lambda operation, answer: None,
            )
            if granted is None:
                return False
            self._lease = granted.id
        lease = self._lease
        key, value = f"{LEASED}{self.name}", self._recorder.value(self.name)
        served = await self._call(
            Operation(self.name, "put with lease", 0, writes={key: value}),
            lambda: self._client.put(key.encode(), value.encode(), lease, timeout=self._timeout),
            _put,
        )
        if not served:
            await self.revoke()  # It may have expired.
        return served

    async def revoke(self) -> bool:
        lease, self._lease = self._lease, None
        if lease is None:
            return True
        revoked = await self._revoke(lease)
        if not revoked:
            self._unrevoked.append(lease)
        return revoked

    async def _revoke(self, lease: int) -> bool:
        operation = Operation(self.name, "revoke", 0)
        await self._call(
            operation,
            lambda: self._client.revoke_lease(lease, timeout=self._timeout),
            lambda operation, answer: None,
        )
        return operation.outcome == "ok" or operation.error.startswith(_NO_LEASE)

    async def _pause_after_failure(self) -> None:
        await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    # Implementation. -------------------------------------------------------------------

    def _key(self) -> str:
        return self._choice.choice(KEYS)

    async def _call(
        self,
        operation: Operation,
        calling: Callable[[], Awaitable[object]],
        result: Callable[..., None],
    ) -> bool:
        await self._recorder.call(operation, calling, result)
        self._revision = max(self._revision, operation.revision)
        return operation.outcome == "ok"

    @property
    def revision(self) -> int:
        """The highest revision that it has seen."""
        return self._revision

    async def watch_shortly(self) -> None:
        """Watch all keys from a revision around now, again and again, for half a second each."""
        while not self.stopping:
            start = max(1, self._revision + self._choice.randrange(-100, 100))
            start = self._choice.choice((0, start))
            watched = Watched(self.name, PREFIX, True, start, self._recorder.clock(), previous=True)
            await self._recorder.watch(watched, self._watch, partial(asyncio.sleep, 0.5))

    def _watch(self, start: int) -> Watch:
        return self._client.watch_prefix(
            PREFIX.encode(),
            start_revision=start or None,
            prev_kv=True,
            progress_notify=True,
            timeout=self._timeout,
        )


def _put(operation: Operation, answer: Put) -> None:
    operation.revision = answer.header.revision


def _listed(operation: Operation, found: GetRange) -> None:
    operation.revision = found.header.revision
    operation.reads = {kv.key.decode(): kv.value.decode() for kv in found}
