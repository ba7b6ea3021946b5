r"""One `acquire` of a documented lock: its attempts, and its place among those that wait.

Only the lock's own key excludes others. The clients that wait have a queue beside it, so that a
release wakes one of them: each has a key `<key>\0waiting/<lease id in hex>` with its lease, and
watches the one that was created before it; the first watches the key of the lock. The transaction
that acquires the lock marks the client's key in the queue as the holder's, and the one that
releases the lock deletes both, which wakes the next client: it tries at once. A client that is
woken tries again, so only the number of attempts depends on the queue.

The client behind a holder watches the key of the lock as well, in case someone else deletes it; but
not at first, because most locks are held for a short time. A client that is woken may be dead, and
then its key keeps the others asleep until its lease ends: so they try again at their deadline, and
every 15 seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from etcd_channel import KeyValue, RevisionCompactedError, prefix_range_end
from etcd_channel.deadline import Deadline
from etcd_channel.errors import LeaseNotFoundError, PermissionDeniedError
from etcd_channel.tasks import log_errors
from etcd_kv import Operation, TransactionResult
from etcd_lease import Lease
from etcd_lock._services import Services
from etcd_lock._waiting import until_one_is_done
from etcd_watch import EventKind, Watch

__all__ = ["Contention"]

# The value of a key in the queue whose client holds the lock.
_HOLDS = b"holds"

# Seconds for which the client behind a holder does not watch the key of the lock.
_SHORT_HOLD = 0.1

# Seconds after which a client behind others tries the lock even if it was not woken: the one that
# was may be dead, and its key stays until its lease ends.
_LOOK_INTERVAL = 15.0


class Contention:
    """One `acquire` of a lock, with all its attempts.

    It owns a lease and a watch. It ends the watch, and revokes the lease unless it acquired the
    lock; its key in the queue ends with the lease at the latest.
    """

    def __init__(self, services: Services, key: bytes, value: bytes, ttl: int) -> None:
        self._services = services
        self._key = key
        self._value = value
        self._ttl = ttl
        self._lease: Lease | None = None
        self._watch: Watch | None = None
        self._queue = key + b"\0waiting/"
        self._may_queue = True
        # Whether it has waited for an older client in the queue.
        self._was_behind = False
        # The create revision of its key in the queue.
        self._place: int | None = None

    @property
    def queue_key(self) -> bytes | None:
        """The key in the queue, which the holder deletes when it releases the lock; or None."""
        if self._place is None or self._lease is None:
            return None
        return self._queue + b"%x" % self._lease.id

    async def run(
        self, deadline: Deadline, take: Callable[[Lease, int, bool], Awaitable[bool]]
    ) -> bool:
        """Try until `take` accepts the lock, or until `deadline` has passed."""
        try:
            won = await self._contend(deadline, take)
        except BaseException as error:
            await self._services.run_to_completion(self._give_up(), error)
            raise
        if not won:
            await self._services.run_to_completion(self._give_up())
        elif self._watch is not None:
            # This does not suspend, so that no cancellation can be raised here: the caller gets
            # the lock.
            await self._watch.cancel()
        return won

    async def _contend(
        self, deadline: Deadline, take: Callable[[Lease, int, bool], Awaitable[bool]]
    ) -> bool:
        waited = False
        while True:
            # An attempt that does not wait needs no place in the queue.
            queues = self._place is not None or (self._may_queue and not deadline.passed)
            answer = await self._try(queues)
            if answer is None:
                continue
            if answer.succeeded:
                assert self._lease is not None
                if await take(self._lease, answer.header.revision, waited):
                    return True
                # It has ended by the client's clock; etcd may still have it, with the key.
                await log_errors(self._lease.revoke())
                self._forget_lease()
                waited = True
            elif deadline.passed:
                return False
            else:
                await self._woken(answer, deadline)
                waited = True

    async def _give_up(self) -> None:
        if self._watch is not None:
            await self._watch.cancel()
        if self._lease is not None:
            await log_errors(self._lease.revoke())

    def _forget_lease(self) -> None:
        """Go on after the lease has ended, and the key in the queue with it."""
        self._lease = self._place = None

    async def _try(self, queues: bool) -> TransactionResult | None:
        """Try to create the key, else queue; return None if the next attempt has to differ."""
        if self._lease is None:
            self._lease = await self._services.leases.lease(self._ttl)
        txn = self._services.kv.transactions
        acquiring: list[Operation] = [txn.put(self._key, self._value, self._lease)]
        queueing: list[Operation] = []
        if queues:
            own = self._queue + b"%x" % self._lease.id
            if self._place is not None:
                acquiring.append(txn.put(own, _HOLDS, self._lease))
            older = txn.get(
                self._queue,
                prefix_range_end(self._queue),
                sort_order="descend",
                sort_target="create",
                limit=1,
                max_create_revision=None if self._place is None else self._place - 1,
            )
            # Putting it again keeps its place.
            queueing = [older, txn.put(own, b"", self._lease)]
        try:
            answer = await self._services.kv.transaction(
                [txn.create(self._key) == 0], acquiring, queueing
            )
        except LeaseNotFoundError:
            self._forget_lease()
            return None
        except PermissionDeniedError:
            if not queues:
                raise
            self._may_queue, self._place = False, None
            return None
        if queues and self._place is None and not answer.succeeded:
            self._place = answer.header.revision
        return answer

    async def _woken(self, answer: TransactionResult, deadline: Deadline) -> None:
        """Wait until the key that is waited for is deleted, or until it is time to look anyway.

        That is at the deadline, and from time to time behind an older client.
        """
        older = list(answer.gets[0]) if self._place is not None else []
        seen = answer.header.revision
        deletion = asyncio.create_task(
            self._leaving(older[0], seen) if older else self._deletion(seen)
        )
        until = deadline.within(_LOOK_INTERVAL) if older else deadline
        await until_one_is_done(deletion, timeout=until.remaining())
        if deletion.cancelled():
            return
        try:
            deletion.result()
        except RevisionCompactedError:
            # The history since then was compacted while the stream was broken: try again.
            watch, self._watch = self._watch, None
            if watch is not None:
                await watch.cancel()  # it was another one, perhaps
        finally:
            del deletion  # it keeps its error, which keeps this frame

    async def _deletion(self, seen: int) -> None:
        """Wait until the key of the lock, which existed at revision `seen`, is deleted."""
        if self._watch is None:
            watches, kind = self._services.watches, EventKind.DELETE
            if self._was_behind:
                # It is first in the queue now. etcd takes up to a tenth of a second until it sends
                # the events to a watch that begins in the past: so this one begins now, and the
                # next attempt, which comes after it, tells whether the lock is still held.
                self._watch = watches.watch(self._key, kind=kind)
                _ = await self._watch
                return
            self._watch = watches.watch(self._key, start_revision=seen + 1, kind=kind)
        async for event in self._watch:
            if event.kv.mod_revision > seen:
                return

    async def _leaving(self, older: KeyValue, seen: int) -> None:
        """Wait until an older client has left the queue, or holds a lock whose key is deleted."""
        self._was_behind = True
        held_at = seen if older.value == _HOLDS else None
        async with self._services.watches.watch(older.key, start_revision=seen + 1) as watch:
            while held_at is None:
                event = await watch.__anext__()
                if event.kind is EventKind.DELETE:
                    return
                if event.kv.value == _HOLDS:
                    held_at = event.kv.mod_revision
            waiting = [asyncio.create_task(_until_deleted(watch))]
            await until_one_is_done(*waiting, timeout=_SHORT_HOLD)
            if waiting[0].cancelled():
                broken = self._broken(held_at)
                waiting = [asyncio.create_task(each) for each in (_until_deleted(watch), broken)]
                await until_one_is_done(*waiting, timeout=None)
            for task in waiting:
                if not task.cancelled():
                    task.result()

    async def _broken(self, held_at: int) -> None:
        """Wait until the key of a lock is deleted that a client in the queue held at a revision."""
        watch = self._services.watches.watch(
            self._key, start_revision=held_at + 1, kind=EventKind.DELETE
        )
        async with watch:
            await _until_deleted(watch)


async def _until_deleted(watch: Watch) -> None:
    async for event in watch:
        if event.kind is EventKind.DELETE:
            return
