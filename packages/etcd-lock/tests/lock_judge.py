"""Judges by transactions on the server how many hold a lock at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import count

from etcd_channel import prefix_range_end
from etcd_channel.tasks import finish
from etcd_kv import Compare, KVClient
from etcd_lock import LockLostError, Session
from etcd_testing import FaultProxy

__all__ = ["Judge", "cut_connections", "under_cancellations"]

_numbers = count()


class Judge:
    """Keeps a key for each task that is inside; only a holder can put it, as etcd compares.

    Its value is the key of the holder's lock, which is under `queue`. A holder counts while both
    exist, so that a key that could not be deleted over a broken connection does no harm.
    """

    def __init__(self, queue: bytes) -> None:
        self._queue = queue
        self._name = b"inside/" + queue
        self.most: dict[bytes, int] = {}
        """How many of each kind were inside at most."""
        self.entered = 0

    @asynccontextmanager
    async def inside(
        self, session: Session, ownership: Iterable[Compare], kind: bytes, lock_key: bytes
    ) -> AsyncIterator[dict[bytes, int]]:
        """Enter, and yield how many of each kind are inside then, as counted by etcd."""
        kv, compares = KVClient(session.channel), list(ownership)
        txn, key = kv.transactions, b"%s%s/%d" % (self._name, kind, next(_numbers))

        async def enter() -> dict[bytes, int]:
            prefix, queue = self._name, self._queue
            assert lock_key.startswith(queue)
            answer = await kv.transaction(
                compares,
                # Its key ends when the lock does at the latest: both have the session's lease.
                [
                    txn.put(key, lock_key, session.lease),
                    txn.get(prefix, prefix_range_end(prefix)),
                    txn.get(queue, prefix_range_end(queue), keys_only=True),
                ],
            )
            if not answer.succeeded:
                return {}
            counts: dict[bytes, int] = {}
            holders, locks = answer.gets
            existing = {found.key for found in locks}
            for found in holders:
                if found.value not in existing:
                    continue
                each = found.key[len(prefix) :].split(b"/")[0]
                counts[each] = counts.get(each, 0) + 1
            return counts

        try:
            counts = await finish(enter())
            self.entered += bool(counts)
            for each, number in counts.items():
                self.most[each] = max(self.most.get(each, 0), number)
            yield counts
        finally:
            with contextlib.suppress(Exception):
                await finish(kv.delete(key))


@asynccontextmanager
async def cut_connections(proxy: FaultProxy, *, times: int = 40) -> AsyncIterator[None]:
    """Cut a proxy's connections again and again while the body runs.

    At most `times` times: a machine on which a connection takes longer than the pauses gets by
    with the last one.
    """

    async def cut() -> None:
        for _ in range(times):
            await asyncio.sleep(0.04)
            proxy.cut()

    cutting = asyncio.create_task(cut())
    try:
        yield
    finally:
        cutting.cancel()
        await asyncio.wait([cutting])
    if not cutting.cancelled():
        cutting.result()


async def under_cancellations(
    work: Callable[[int], Awaitable[None]], tasks: int, seed: int, *, every: int = 3
) -> int:
    """Run `work` in many tasks, cancel some of them twice, and return how many ended by itself."""
    random_, loop = random.Random(seed), asyncio.get_running_loop()
    running = [asyncio.ensure_future(work(number)) for number in range(tasks)]
    for task in running[::every]:
        for _ in range(2):
            loop.call_later(random_.random() * 0.5, task.cancel)
    await asyncio.wait_for(asyncio.wait(running), 90)
    for task in running:
        if not task.cancelled():
            error = task.exception()
            assert error is None or isinstance(error, LockLostError), repr(error)
    return sum(not task.cancelled() and task.exception() is None for task in running)
