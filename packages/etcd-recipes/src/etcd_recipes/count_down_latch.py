"""A latch that opens when a number of parts are done."""

from __future__ import annotations

import uuid
from contextlib import aclosing

from etcd_channel import ChannelLike, Service
from etcd_channel.arguments import check_int, check_key, check_prefix, check_wait
from etcd_recipes._count import disagreement, put_if_agreed
from etcd_recipes._following import Keys, follow
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within

__all__ = ["CountDownLatch"]


class CountDownLatch(Recipe):
    """Makes others wait until `count` parts have been counted down.

    Each part is a key `<name>/parts/<part>`, and `<name>/count` has the number, so that those who
    disagree on it get a `PreconditionFailedError`. The keys stay until `reset`: an open latch stays
    open for all who come later. Other keys under `<name>/`, such as those of a latch whose name
    begins with it, do not count, except those of a latch `<name>/parts`.

    Guaranteed: `wait` returns True only after `count` different parts were counted down, and a part
    with a name counts once, however often it is counted down: a program that does not know whether
    its call was applied repeats it with the same name. Not guaranteed: that a part is done by the
    time that it is counted; that is up to the program.
    """

    def __init__(self, client: ChannelLike | Service, name: bytes, count: int) -> None:
        super().__init__(client)
        self.name = check_key("name", name)
        self.count = check_int("count", count, minimum=1)
        self._prefix = self.name + b"/"
        self._parts = self._prefix + b"parts/"
        self._number = self._prefix + b"count"

    async def count_down(self, part: bytes | None = None, *, timeout: float | None = None) -> None:
        """Count one part down, in one round trip.

        `part` is the name of the part; None means a new name, so that each call counts. `timeout`
        is the number of seconds that the call may take. After a cancellation, or an error that is
        not `definite`, the part may have been counted.
        """
        name = uuid.uuid4().hex.encode() if part is None else check_key("part", part)
        put = self._kv.transactions.put(self._parts + name, b"")
        await put_if_agreed(self._kv, self._number, self.count, put, timeout=timeout)

    async def remaining(self, *, timeout: float | None = None) -> int:
        """Ask etcd how many parts are left; 0 if the latch is open."""
        found = await self._kv.get_prefix(self._parts, count_only=True, timeout=timeout)
        return max(self.count - found.count, 0)

    async def wait(self, *, timeout: float | None = None) -> bool:
        """Wait until the latch is open; return False if that took longer than `timeout` seconds.

        None sets no limit, 0 does not wait. It survives breaks of the connection and leaves no
        watch behind, also when it is cancelled.
        """
        seconds = check_wait("timeout", timeout)
        if seconds == 0:
            return await self.remaining() == 0
        return bool(await within(seconds, self._until_open()))

    async def reset(self, *, timeout: float | None = None) -> None:
        """Delete the keys of the latch: it begins again, and may have another count."""
        txn = self._kv.transactions
        parts = txn.delete(*check_prefix("parts", self._parts))
        await self._kv.transaction(None, [txn.delete(self._number), parts], timeout=timeout)

    async def _until_open(self) -> bool:
        async with aclosing(follow(self._channel, self._prefix)) as changes:
            async for keys in changes:
                if self._is_open(keys):
                    break
        return True

    def _is_open(self, keys: Keys) -> bool:
        number = keys.get(self._number)
        if number is not None and number.value != b"%d" % self.count:
            raise disagreement(self._number, self.count)
        # Not all keys: a latch whose name begins with this one's has keys under the prefix, too.
        return sum(key.startswith(self._parts) for key in keys) >= self.count

    def __repr__(self) -> str:
        return f"CountDownLatch(name={self.name!r}, count={self.count})"
