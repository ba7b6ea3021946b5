"""Leases and locks: what their holders say, and a set that they guard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from etcd_client import Client, ClientError, Compare, Get, Mutex, Session, TransactionResult
from programme.history import Claim, Hold, Operation
from programme.recorder import Recorder

__all__ = ["GUARDED", "LOCK", "LeaseHolder", "LockHolder"]

HELD = "held/"
LOCK = "lock/set"
GUARDED = "guarded/set"
_TTL = 3
"""Longer than a leader is stopped, after which it may end leases that its successor has renewed
(etcd issue 15247); shorter than some connections are."""
_LOOK_EVERY = 0.02
_TIMEOUT = 1.0
_LIVES = (2.0, 8.0)
_WAITS = 5.0


class LeaseHolder:
    """Keeps a lease alive and says, at every look, whether it has it."""

    def __init__(
        self, name: str, client: Client, recorder: Recorder, choice: random.Random
    ) -> None:
        self.name = name
        self.stopping = False
        self._client = client
        self._recorder = recorder
        self._choice = choice

    async def run(self) -> None:
        """Have one lease after the other until `stopping`."""
        while not self.stopping:
            try:
                await self._hold()
            except ClientError:
                await asyncio.sleep(0.05)

    async def _hold(self) -> None:
        clock, claims = self._recorder.clock, self._recorder.history.claims
        async with self._client.lease(_TTL, keep_alive=True, timeout=_TIMEOUT) as lease:
            key, value = f"{HELD}{self.name}", self._recorder.value(self.name)

            def result(operation: Operation, answer: object) -> None:
                operation.revision = getattr(answer, "header").revision  # noqa: B009

            await self._recorder.call(
                Operation(self.name, "put with lease", 0, writes={key: value}),
                lambda: self._client.put(key.encode(), value.encode(), lease, timeout=_TIMEOUT),
                result,
            )
            until = clock() + self._choice.uniform(*_LIVES)
            while clock() < until and not self.stopping:
                now = clock()
                if lease.is_lost:
                    break
                claims.append(Claim(lease.id, now))
                await asyncio.sleep(_LOOK_EVERY)


class LockHolder:
    """Contends for a lock; in it, reads a set and writes it with one more member.

    It goes on after the loss of the lock, as a program does that does not look: the set is safe
    only because each write says that the lock must be held.
    """

    guarded = True
    """False writes without that."""
    in_lock = (0.0, 0.6)
    """Seconds that it stays."""

    def __init__(
        self, name: str, client: Client, recorder: Recorder, choice: random.Random
    ) -> None:
        self.name = name
        self.stopping = False
        self._client = client
        self._recorder = recorder
        self._choice = choice

    async def run(self) -> None:
        """Contend until `stopping`, with one session after the other."""
        while not self.stopping:
            try:
                async with Session(self._client, _TTL) as session:
                    while not self.stopping and not session.is_lost:
                        await self._contend(session)
            except ClientError:
                await asyncio.sleep(0.05)

    async def _contend(self, session: Session) -> None:
        mutex = Mutex(session, LOCK.encode())
        if not await mutex.acquire(timeout=_WAITS):
            return
        clock = self._recorder.clock
        begin = end = clock()
        owned = [mutex.ownership()] if self.guarded else []
        read = asyncio.create_task(self._read())
        try:
            until = begin + self._choice.uniform(*self.in_lock)
            while clock() < until or not read.done():
                now = clock()
                if not session.is_lost:
                    end = now
                await asyncio.sleep(_LOOK_EVERY)
            self._recorder.history.add(Hold(LOCK, self.name, begin, end))
            members = await read
            if members is not None:
                await self._write(members, owned)
        finally:
            await read
            await mutex.release()
        await asyncio.sleep(self._choice.uniform(0, 0.1))

    async def _read(self) -> str | None:
        found: str | None = None

        def result(operation: Operation, got: Get | None) -> None:
            nonlocal found
            found = "" if got is None else got.value.decode()
            operation.revision = 0 if got is None else got.header.revision
            operation.reads = {GUARDED: None if got is None else found}

        await self._recorder.call(
            Operation(self.name, "get", 0),
            lambda: self._client.get(GUARDED.encode(), timeout=_TIMEOUT),
            result,
        )
        return found

    async def _write(self, members: str, conditions: Sequence[Compare]) -> None:
        value = f"{members} {self._recorder.value(self.name)}".strip()

        def result(operation: Operation, answer: TransactionResult) -> None:
            operation.revision, operation.succeeded = answer.revision, answer.succeeded

        put = self._client.transactions.put(GUARDED, value)
        await self._recorder.call(
            Operation(self.name, "guarded add", 0, writes={GUARDED: value}),
            lambda: self._client.transaction(conditions, [put], timeout=_TIMEOUT),
            result,
        )
