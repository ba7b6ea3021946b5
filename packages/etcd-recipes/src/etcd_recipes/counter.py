"""A number that many programs change."""

from __future__ import annotations

import asyncio
import random
import re

from etcd_channel import ChannelLike, KeyValue, PreconditionFailedError, Service
from etcd_channel.arguments import INT64_MAX, INT64_MIN, check_int, check_key
from etcd_channel.deadline import Deadline
from etcd_kv import Operation
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within
from etcd_recipes.errors import CounterTimeoutError

__all__ = ["Counter"]

_NUMBER = re.compile(rb"-?[0-9]{1,19}")

# Seconds: the longest pause after the first conflict with another program, and after many.
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1


class Counter(Recipe):
    """A whole number at one key, in decimal; a key that does not exist counts as 0.

    The number has 64 bits with a sign; a change beyond raises `OverflowError`, and nothing is
    changed. A key with anything else as its value raises `PreconditionFailedError`.

    Guaranteed: no addition is lost, and none is applied twice by one call; each `add` returns a
    number that no other `add` of 1 returned. Not guaranteed: an order between programs. The tasks
    that share a `Counter` add in the order of their calls. After a cancellation, or an error that
    is not `definite`, the change may have been applied; it is never repeated.

    A change takes one round trip as long as no other program changes the key in between, from the
    second use of the object on; each change by another one costs one more.
    """

    def __init__(self, client: ChannelLike | Service, key: bytes) -> None:
        super().__init__(client)
        self.key = check_key("key", key)
        # The number and the modification revision of the key that were seen last.
        self._seen = (0, 0)
        # Tasks that share the counter would only conflict with each other.
        self._one_at_a_time = asyncio.Lock()
        # The calls that have the lock or wait for it. `locked()` is False for a moment while the
        # lock goes from one to the next.
        self._calls = 0

    async def get(self, *, timeout: float | None = None) -> int:
        """Read the number."""
        return self._see(await self._kv.get(self.key, timeout=timeout))

    async def set(self, value: int, *, timeout: float | None = None) -> None:
        """Set the number, whatever it was."""
        number = check_int("value", value, minimum=INT64_MIN)
        put = await self._kv.put(self.key, b"%d" % number, timeout=timeout)
        self._seen = number, put.header.revision

    async def add(self, amount: int = 1, *, timeout: float | None = None) -> int:
        """Add `amount`, which may be negative, and return the sum.

        `timeout` is the number of seconds for all attempts together, None means the channel's
        timeout. Raises `CounterTimeoutError` if others changed the number before each attempt
        within that time; nothing was added then.
        """
        check_int("amount", amount, minimum=INT64_MIN)
        deadline = Deadline.of("timeout", self._channel.timeout if timeout is None else timeout)
        self._calls += 1
        try:
            await self._take_turn(deadline)
            try:
                return await self._add(amount, deadline)
            finally:
                self._one_at_a_time.release()
        finally:
            self._calls -= 1

    async def _take_turn(self, deadline: Deadline) -> None:
        """Acquire the lock; raise `CounterTimeoutError` at the deadline."""
        if self._calls == 1:
            await self._one_at_a_time.acquire()  # it is free: this does not wait
        else:
            acquired = await within(
                deadline.remaining(), self._one_at_a_time.acquire(), self._not_needed
            )
            if not acquired:
                raise CounterTimeoutError(
                    f"earlier calls changed the counter {self.key!r} until the timeout; nothing was"
                    " added"
                )

    async def _not_needed(self, _: bool) -> None:
        self._one_at_a_time.release()

    async def _add(self, amount: int, deadline: Deadline) -> int:
        txn, pause = self._kv.transactions, 0.0
        while True:
            before, revision = self._seen
            number = before + amount
            if not INT64_MIN <= number <= INT64_MAX:
                # Not by what was seen last, which may be old.
                before = await self.get(timeout=deadline.timeout())
                number = before + amount
                if not INT64_MIN <= number <= INT64_MAX:
                    raise OverflowError(
                        f"the counter {self.key!r} has 64 bits: {before} + {amount} is too large"
                    )
                continue
            result = await self._kv.transaction(
                [txn.mod(self.key) == revision],
                [txn.put(self.key, b"%d" % number)],
                [txn.get(self.key)],
                timeout=deadline.timeout(),
            )
            if result.succeeded:
                self._seen = number, result.revision
                return number
            self._see(next(iter(result.gets[0]), None))
            if deadline.passed:
                raise CounterTimeoutError(
                    f"others changed the counter {self.key!r} before each attempt until the"
                    " timeout; nothing was added"
                )
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)

    async def compare_and_set(
        self, expected: int, value: int, *, timeout: float | None = None
    ) -> bool:
        """Set the number to `value` if it is `expected`; return whether it was.

        It takes one round trip. `timeout` is the number of seconds that it may take.
        """
        old = check_int("expected", expected, minimum=INT64_MIN)
        number = check_int("value", value, minimum=INT64_MIN)
        txn = self._kv.transactions
        put = txn.put(self.key, b"%d" % number)
        otherwise: Operation = txn.get(self.key)
        if old == 0:
            otherwise = txn.txn([txn.version(self.key) == 0], [put], [otherwise])
        result = await self._kv.transaction(
            [txn.value(self.key) == b"%d" % old], [put], [otherwise], timeout=timeout
        )
        if not result.succeeded and old == 0:
            result = result.txns[0]
        if result.succeeded:
            self._seen = number, result.revision
            return True
        self._see(next(iter(result.gets[0]), None))
        return False

    def _see(self, found: KeyValue | None) -> int:
        """Keep what was read, and return the number."""
        if found is None:
            self._seen = 0, 0
            return 0
        if not _NUMBER.fullmatch(found.value):
            raise PreconditionFailedError(
                f"the key {self.key!r} is not a counter: its value is not a whole number"
            )
        number = int(found.value)
        self._seen = number, found.mod_revision
        return number

    def __repr__(self) -> str:
        return f"Counter(key={self.key!r})"
