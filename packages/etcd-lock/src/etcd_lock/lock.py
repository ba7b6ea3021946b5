"""The documented lock: one key, held by who could create it."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType

from etcd_channel import Channel, ClientError, RevisionCompactedError, Service
from etcd_channel.arguments import check_flag, check_int, check_key, check_timeout
from etcd_channel.errors import LeaseNotFoundError
from etcd_kv import Compare, TransactionResult
from etcd_lease import Lease, LeaseRefresh
from etcd_lock._cleanup import finish, quietly
from etcd_lock._guarded_body import GuardedBody
from etcd_lock._services import Services
from etcd_lock._waiting import until_one_is_done
from etcd_lock.errors import LockLostError, LockTimeoutError
from etcd_watch import EventKind, Watch

__all__ = ["Lock", "check_wait"]

_log = logging.getLogger("etcd_lock")


class Lock:
    """A lock on a key, which excludes all who lock the same key so, aetcd's lock included.

    The key exists while the lock is held, with a lease of `ttl` seconds: if nobody
    refreshes it, the lock ends with the lease. `keep_alive` refreshes it while the lock is
    held. `client` is any client, or a channel.

    As an async context manager the lock is acquired on entering, for which `timeout` is
    the number of seconds, None for as long as it takes; else `LockTimeoutError` is raised:
    the body never runs without the lock. `LockLostError` is raised on leaving if the lock
    was not held to the end. With `cancel_on_loss` the body is cancelled when the lease is
    lost, and `LockLostError` raised in place of that.

    No lock over a network excludes for sure: a holder that is stopped for longer than
    `ttl` cannot know it before it goes on. What must not happen twice belongs in a
    transaction that compares `ownership()`, or on a system that refuses a
    `fencing_token` lower than one it has seen.

    Not reentrant: a second `acquire` on a lock that is held waits as that of any other
    would, and leaves what is held alone.
    """

    lease: Lease | None
    """The lease of the lock that is held; None when none is."""
    fencing_token: int | None
    """The revision at which the lock was acquired: higher than that of all holders before."""

    def __init__(
        self,
        client: Channel | Service,
        key: bytes,
        ttl: int,
        *,
        keep_alive: bool = False,
        cancel_on_loss: bool = False,
        timeout: float | None = 10,
    ) -> None:
        self._services = Services(client)
        self.key = check_key("key", key)
        self.ttl = check_int("ttl", ttl, minimum=1)
        self.keep_alive = check_flag("keep_alive", keep_alive)
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self.timeout = check_wait("timeout", timeout)
        self.uuid = uuid.uuid4().bytes
        """What the key holds while this lock is held."""
        self.lease = None
        self.fencing_token = None
        self._body: GuardedBody | None = None

    # Acquiring -------------------------------------------------------------------------

    async def acquire(self, timeout: float | None = 10) -> bool:
        """Acquire the lock; say whether that came about within `timeout` seconds.

        None waits for as long as it takes, 0 tries once. It is the time to wait while
        another holds the lock; the calls to etcd take theirs beside it. Those who wait on one
        channel get it in the order of asking, beside others as it comes. When the lock was
        not acquired, whether for time, an error or cancellation, no key and no lease is left.
        """
        wait = check_wait("timeout", timeout)
        loop = asyncio.get_running_loop()
        deadline = math.inf if wait is None else loop.time() + wait
        contention = _Contention(self._services, self.key, self.uuid, self.ttl)
        if wait == 0:
            return await contention.run(deadline, self._take)
        turn = self._services.turns.at(self.key)
        if not await turn.take(wait):
            return False
        try:
            return await contention.run(deadline, self._take)
        finally:
            turn.give()

    async def _take(self, lease: Lease, token: int, waited: bool) -> bool:
        """Take the lock that was won; False if its lease ended at that moment."""
        try:
            if self.keep_alive:
                await lease.keep_alive()
            elif waited:
                # The time that was spent waiting is not to be missing from the ttl.
                await lease.refresh()
        except LeaseNotFoundError:
            return False
        self.lease, self.fencing_token = lease, token
        return True

    # Holding ---------------------------------------------------------------------------

    async def is_acquired(self) -> bool:
        """Ask etcd whether this lock is held; False at once when its lease is known lost."""
        if self.lease is None or self.lease.is_lost:
            return False
        found = await self._services.kv.get(self.key)
        return found is not None and found.value == self.uuid

    async def refresh(self) -> LeaseRefresh:
        """Begin the `ttl` of the lock anew.

        Raises `LeaseExpiredError` when the lock is gone, `ValueError` when it was never
        acquired, or released.
        """
        if self.lease is None:
            raise ValueError(f"the lock {self.key!r} is not acquired: there is no lease to refresh")
        return await self.lease.refresh()

    def ownership(self) -> Compare:
        """Return the compare that holds while this acquisition of the lock lasts.

        Put it into the transactions that the lock is to protect: one that comes too late
        changes nothing. `ValueError` when the lock is not acquired.
        """
        if self.fencing_token is None:
            raise ValueError(f"the lock {self.key!r} is not acquired")
        return self._services.kv.transactions.create(self.key) == self.fencing_token

    # Releasing -------------------------------------------------------------------------

    async def release(self) -> bool:
        """Release the lock; say whether it was still held.

        A lock that another holds by now is not touched. The lease is revoked, also when
        the task is cancelled meanwhile.
        """
        lease, self.lease = self.lease, None
        if lease is None:
            return False
        self.fencing_token = None
        words = self._services.kv.transactions
        try:
            result = await self._services.kv.transaction(
                [words.value(self.key) == self.uuid], [words.delete(self.key)]
            )
        finally:
            await finish(quietly(lease.revoke()))
        return result.succeeded

    async def __aenter__(self) -> Lock:
        if not await self.acquire(self.timeout):
            raise LockTimeoutError(f"the lock {self.key!r} was not to be had in {self.timeout} s")
        if self.cancel_on_loss and self.lease is not None:
            self._body = GuardedBody(self.lease)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        body, self._body = self._body, None
        cancelled_by_loss = body is not None and await body.leave()
        try:
            held = await self.release()
        except ClientError as failure:
            if error is None:
                raise
            # What ended the body matters more; the lock ends with its lease.
            _log.warning("the lock %r could not be released: %s", self.key, failure)
            held = True
        if cancelled_by_loss and isinstance(error, asyncio.CancelledError):
            raise LockLostError(f"the lock {self.key!r} was lost") from error
        if error is None and not held:
            raise LockLostError(f"the lock {self.key!r} was lost before its body ended")

    def __repr__(self) -> str:
        return f"Lock(key={self.key!r}, ttl={self.ttl}, fencing_token={self.fencing_token})"


class _Contention:
    """One attempt to have a lock, from the first try to the last.

    It owns a lease and a watch, and leaves neither behind unless the lock was won.
    """

    def __init__(self, services: Services, key: bytes, value: bytes, ttl: int) -> None:
        self._services = services
        self._key = key
        self._value = value
        self._ttl = ttl
        self._lease: Lease | None = None
        self._watch: Watch | None = None

    async def run(
        self, deadline: float, take: Callable[[Lease, int, bool], Awaitable[bool]]
    ) -> bool:
        """Try until `take` accepts the lock, or `deadline`, in the loop's time, is past."""
        won = waited = False
        try:
            while not won:
                answer = await self._try()
                if answer is None:
                    continue  # the lease ended while waiting: try with another
                if answer.succeeded:
                    assert self._lease is not None
                    won = await take(self._lease, answer.header.revision, waited)
                    if not won:
                        self._lease = None
                elif not await self._released(answer.header.revision, deadline):
                    break
                waited = True
        finally:
            if self._watch is not None:
                # This does not wait for anything, so no cancellation can come between: what was
                # won is handed over, what was not is given back.
                await self._watch.cancel()
            if self._lease is not None and not won:
                await finish(quietly(self._lease.revoke()))
        return won

    async def _try(self) -> TransactionResult | None:
        if self._lease is None:
            self._lease = await self._services.leases.lease(self._ttl)
        words = self._services.kv.transactions
        try:
            return await self._services.kv.transaction(
                [words.create(self._key) == 0], [words.put(self._key, self._value, self._lease)]
            )
        except LeaseNotFoundError:
            self._lease = None
            return None

    async def _released(self, seen: int, deadline: float) -> bool:
        """Wait until the lock that was held at revision `seen` is released."""
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            return False
        deletion = asyncio.create_task(self._deletion_after(seen))
        await until_one_is_done(deletion, timeout=None if math.isinf(remaining) else remaining)
        if deletion.cancelled():
            return False
        try:
            deletion.result()
        except RevisionCompactedError:
            # The watch fell behind history during a break: look at the key again.
            self._watch = None
        return True

    async def _deletion_after(self, seen: int) -> None:
        if self._watch is None:
            self._watch = self._services.watches.watch(
                self._key, start_revision=seen + 1, kind=EventKind.DELETE
            )
        async for event in self._watch:
            if event.kv.mod_revision > seen:
                return


def check_wait(name: str, value: object) -> float | None:
    """Return `value` if it is a time to wait: None for ever, or seconds from 0 on."""
    if value is None or (value == 0 and isinstance(value, (int, float)) and value is not False):
        return None if value is None else 0.0
    return check_timeout(name, value)
