"""Queues whose items are taken at most once."""

from __future__ import annotations

import time
from typing import NamedTuple

from etcd_channel import ChannelLike, RevisionCompactedError, Service
from etcd_channel.arguments import check_bytes, check_int, check_key, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.tasks import log_errors
from etcd_kv import Operation, TransactionResult
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import time_is_up, within
from etcd_watch import EventKind, Watch

__all__ = ["PriorityQueue", "Queue"]

# Items that one transaction tries to take: so many consumers may ask at once without a conflict.
_AT_ONCE = 8


class _Taken(NamedTuple):
    key: bytes
    value: bytes


class _BaseQueue(Recipe):
    """What both queues have in common: the items are keys, the lowest one is taken first."""

    def __init__(self, client: ChannelLike | Service, name: bytes) -> None:
        super().__init__(client)
        self.name = check_key("name", name)
        self._prefix = self.name + b"/"
        # Of the keys under the prefix those whose names go on with a digit: others belong to a
        # queue whose name begins with this one's.
        self._items = self._prefix + b"0", self._prefix + b":"
        self._last_number = 0

    async def get(self, *, timeout: float | None = None) -> bytes | None:
        """Take the first item, and return its value; None if there is none for `timeout` seconds.

        None as `timeout` sets no limit, 0 does not wait. Eight consumers at once take eight items
        in one round trip each, after one read.

        An item that is being taken when the time is over is returned. If the task is cancelled
        while an item is being taken, the item is put back into its place before the cancellation is
        raised. After an error that is not `definite` an item may have been taken and lost.
        """
        seconds = check_wait("timeout", timeout)
        deadline = Deadline.after(seconds)
        while True:
            found = await self._kv.get_range(*self._items, keys_only=True, limit=_AT_ONCE)
            if found:
                taken = await self._take([read.key for read in found])
            elif seconds == 0:
                return None
            else:
                waiting = self._until_taken(found.header.revision)
                taken = await within(deadline.remaining(), waiting, self._put_back)
            if taken is not None:
                return taken.value
            if seconds != 0 and deadline.passed:
                return None

    async def size(self, *, timeout: float | None = None) -> int:
        """Ask etcd for the number of items."""
        return (await self._kv.get_range(*self._items, count_only=True, timeout=timeout)).count

    async def _put(self, prefix: bytes, value: bytes, timeout: float | None) -> None:
        check_bytes("value", value)
        deadline = Deadline.of("timeout", self._channel.timeout if timeout is None else timeout)
        txn = self._kv.transactions
        while True:
            self._last_number = max(time.time_ns(), self._last_number + 1)
            key = b"%b%d" % (prefix, self._last_number)
            result = await self._kv.transaction(
                [txn.version(key) == 0], [txn.put(key, value)], timeout=deadline.timeout()
            )
            if result.succeeded:
                return

    async def _take(self, keys: list[bytes]) -> _Taken | None:
        """Take the first of the items that still exists; None if others were faster."""
        return await self._or_undo(self._delete_first(keys), self._put_back)

    async def _delete_first(self, keys: list[bytes]) -> _Taken | None:
        txn = self._kv.transactions
        otherwise: list[Operation] = []
        for key in reversed(keys[1:]):
            otherwise = [
                txn.txn([txn.version(key) > 0], [txn.delete(key, prev_kv=True)], otherwise)
            ]
        result: TransactionResult | None = await self._kv.transaction(
            [txn.version(keys[0]) > 0], [txn.delete(keys[0], prev_kv=True)], otherwise
        )
        while result is not None:
            if result.succeeded:
                deleted = result.deletes[0].prev_kvs[0]
                return _Taken(deleted.key, deleted.value)
            result = result.txns[0] if result.txns else None
        return None

    async def _put_back(self, taken: _Taken) -> None:
        txn = self._kv.transactions
        put = txn.put(taken.key, taken.value)
        await self._kv.transaction([txn.version(taken.key) == 0], [put])

    async def _until_taken(self, revision: int) -> _Taken | None:
        """Take one of the items that are put after `revision`; None to read again."""
        taken = None
        try:
            async with self._watches.watch(
                *self._items, start_revision=revision + 1, kind=EventKind.PUT
            ) as watch:
                taken = await self._take_first(watch)
        except RevisionCompactedError:
            pass  # the history was compacted while the stream was broken
        except BaseException as error:
            # Cancelled while the watch was ending.
            if taken is not None and time_is_up():
                return taken
            if taken is not None:
                await self._channel.run_to_completion(log_errors(self._put_back(taken)), error)
            raise
        return taken

    async def _take_first(self, watch: Watch) -> _Taken | None:
        async for response in watch.responses():
            keys = [event.kv.key for event in response.events]
            for start in range(0, len(keys), _AT_ONCE):
                if (taken := await self._take(keys[start : start + _AT_ONCE])) is not None:
                    return taken
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class Queue(_BaseQueue):
    """A queue: the item that was put first is taken first, by one consumer, at most once.

    An item is a key `<name>/<nanoseconds since 1970>`, as of `Queue` in the recipes of etcd's Go
    client, with which it can be shared. Keys under `<name>/` that do not go on with a digit are no
    items, such as those of a queue `<name>/<more>` if `<more>` does not begin with a digit.

    Guaranteed: no item is returned twice. The items of one producer are taken in the order of its
    calls. Not guaranteed: an item is lost if its consumer dies after it was taken; `WorkQueue` is
    for work that must be done. Items of producers whose clocks differ may be taken in another
    order, by as much as the clocks differ. Consumers that wait take new items in any order.
    """

    async def put(self, value: bytes, *, timeout: float | None = None) -> None:
        """Add an item at the end.

        `timeout` is the number of seconds that it may take. After a cancellation, or an error that
        is not `definite`, the item may have been added; it is never added twice by one call.
        """
        await self._put(self._prefix, value, timeout)


class PriorityQueue(_BaseQueue):
    """A queue with priorities: the item with the lowest number is taken first, at most once.

    An item is a key `<name>/<priority of 5 digits>/<number>`, as of `PriorityQueue` in the recipes
    of etcd's Go client, with which it can be shared. Items of one priority are in the order of a
    `Queue`, and what is guaranteed is the same.
    """

    async def put(self, value: bytes, priority: int, *, timeout: float | None = None) -> None:
        """Add an item behind the others of its `priority`, 0 to 65535; otherwise as `Queue.put`."""
        number = check_int("priority", priority, maximum=65535)
        await self._put(b"%b%05d/" % (self._prefix, number), value, timeout)
