"""The documented lock: one key, held by the client that created it."""

from __future__ import annotations

import uuid

from etcd_channel import ChannelLike, NonCopyable, Service, channel_of
from etcd_channel.arguments import INT64_MIN, check_flag, check_int, check_key, check_wait
from etcd_channel.deadline import Deadline
from etcd_channel.errors import LeaseNotFoundError
from etcd_channel.tasks import log_errors
from etcd_kv import Compare
from etcd_lease import Lease, LeaseRefresh
from etcd_lease.loss import loss_notices
from etcd_lock._contention import Contention
from etcd_lock._hold import Hold, LockLoss
from etcd_lock._hold_blocks import HoldBlocks
from etcd_lock._metrics import wait_measured
from etcd_lock._services import Services
from etcd_lock.default_timeout import DefaultTimeout, seconds_to_wait
from etcd_lock.errors import LockTimeoutError

__all__ = ["Lock"]

_DEFAULT_TIMEOUT = DefaultTimeout("10", 10)

# The share of its ttl that a lock has left, at least, when it is acquired after a wait; less if it
# is kept alive, because it is renewed soon anyway.
_MOST = 0.9
_MOST_KEPT_ALIVE = 1 / 3


class _LockHold(Hold):
    """One time of holding a `Lock`."""

    queue_key: bytes | None = None
    """Its key among those that wait, which it keeps while it holds the lock."""

    @property
    def notified(self) -> bool:
        # No other lock shares the lease, so a notice of its loss is one of the lock's.
        return super().notified or loss_notices(self.lease).given


class Lock(NonCopyable):
    r"""A lock on a key, which excludes every other `Lock` on the key, and aetcd's lock.

    The key exists while the lock is held, with a lease of `ttl` seconds: the lock ends with the
    lease if it is not refreshed. `keep_alive` refreshes it while the lock is held. `client` is any
    client, or a channel.

    `timeout` is the number of seconds to wait for the lock, on entering and in an `acquire`
    without an argument; None sets no limit.

    It is an async context manager: entering it acquires the lock or raises `LockTimeoutError`, so
    the body never runs without the lock. The lock is lost when its lease is lost or its key is
    deleted, but not when the body itself releases it or revokes its lease. Then `LockLostError` is
    raised at the end of the block, unless the body was notified: any task has awaited `lost`, or a
    method has raised an error for the loss. An error of the body is raised instead, with the loss
    at the end of its chain of `__context__`s; a cancellation by anything else is raised unchanged.
    With `cancel_on_loss` the body is cancelled when the lock is lost, even if a task awaits `lost`,
    and `LockLostError` is raised in place of the `CancelledError`.

    No lock over a network excludes with certainty: a holder that is stopped for longer than `ttl`
    does not detect the loss until it resumes. Guard changes that must not happen twice by a
    transaction that compares `ownership()`, or pass `fencing_token` to the system that is changed,
    which must refuse a token lower than one it has seen.

    Acquiring a free lock takes two round trips, one for its lease and one for its key; releasing
    it takes two as well. Each client that waits for a held lock has a key of its own,
    `<key>\0waiting/<lease id>`, until it has released the lock, so that a release wakes one of
    them. If the user has no permission for these keys, acquiring takes a third round trip, the
    clients wait without them, and a release wakes all.

    It is not reentrant: a second `acquire` on a lock that is held waits like any other contender,
    and does not change the lock that is held.
    """

    lease: Lease | None
    """The lease of the lock while it is held; else None."""
    fencing_token: int | None
    """The revision at which the lock was acquired, higher than that of every earlier holder;
    None while it is not held."""

    def __init__(
        self,
        client: ChannelLike | Service,
        key: bytes,
        ttl: int,
        *,
        keep_alive: bool = False,
        cancel_on_loss: bool = False,
        timeout: float | None = 10,
    ) -> None:
        self._services = Services(channel_of(client))
        self.key = check_key("key", key)
        self.ttl = check_int("ttl", ttl, minimum=INT64_MIN)
        self.keep_alive = check_flag("keep_alive", keep_alive)
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self.timeout = check_wait("timeout", timeout)
        self.uuid = uuid.uuid4().bytes
        """The value of the key while this lock is held."""
        self.lease = None
        self.fencing_token = None
        self._hold: _LockHold | None = None
        self._blocks = HoldBlocks[_LockHold](channel_of(client))

    # Acquiring -------------------------------------------------------------------------

    async def acquire(self, timeout: float | None = _DEFAULT_TIMEOUT) -> bool:
        """Acquire the lock; return False if another client held it for `timeout` seconds.

        Without the argument, the `timeout` that the lock was made with applies, 10 s by default.
        None sets no limit; 0 or less tries once. The calls to etcd have the channel's timeout,
        which is not counted here. Tasks that share a channel acquire the lock in the order of
        their calls. Those that wait on different channels mostly do too, but there is no guarantee:
        whoever tries while the lock is free acquires it. A client that waits behind others tries
        every 15 seconds, and when its time is over, even if it is not woken: the one that was woken
        may be dead. That last try may take as long as a call may. If it returns False, raises a
        `ClientError` or is cancelled, no key and no lease is left.
        """
        wait = seconds_to_wait(timeout, self.timeout)
        observer = self._services.observer
        acquired = await wait_measured(observer, "Lock.acquire", self._acquire(wait))
        if acquired and self._hold is not None:
            self._hold.record_acquirer()
        return acquired

    async def _acquire(self, wait: float | None) -> bool:
        deadline = Deadline.after(wait)
        contention = Contention(self._services, self.key, self.uuid, self.ttl)

        async def take(lease: Lease, token: int, waited: bool) -> bool:
            return await self._take(lease, token, waited, contention.queue_key)

        if wait == 0:
            return await contention.run(deadline, take)
        local = self._services.local_locks.at(self.key)
        if not await local.acquire(wait):
            return False
        try:
            return await contention.run(deadline, take)
        finally:
            local.release()

    async def _take(self, lease: Lease, token: int, waited: bool, queue_key: bytes | None) -> bool:
        """Record that the lock was acquired; return False if its lease has ended already."""
        try:
            least = _MOST_KEPT_ALIVE if self.keep_alive else _MOST
            if waited and lease.remaining < least * lease.ttl:
                # The lease was granted before the wait: restart its ttl.
                await lease.refresh()
            if self.keep_alive:
                await lease.keep_alive()
            lease.check()  # the answer may have come after its ttl
        except LeaseNotFoundError:
            return False
        self.lease, self.fencing_token = lease, token
        name = f"the lock {self.key!r}"
        self._hold = _LockHold(self._services, name, self.key, token, lease)
        self._hold.queue_key = queue_key
        return True

    # Holding ---------------------------------------------------------------------------

    async def is_acquired(self) -> bool:
        """Ask etcd whether this lock is held; False without a call if its lease is known lost."""
        hold = self._hold
        if hold is None or hold.lease.is_lost:
            return False
        return await hold.key_exists()

    async def refresh(self) -> LeaseRefresh:
        """Renew the lock: its `ttl` starts again.

        Raises `LeaseExpiredError` if its lease is lost, `ValueError` if it is not acquired.
        """
        if self.lease is None:
            raise ValueError(f"the lock {self.key!r} is not acquired: there is no lease to refresh")
        return await self.lease.refresh()

    @property
    def lost(self) -> LockLoss:
        """A coroutine that waits for the loss of the lock: `error = await lock.lost`.

        It returns, and does not raise, the `LockLostError` with the reason: the lease is lost, the
        key was deleted, or the program released the lock. The key is watched meanwhile. Any number
        of tasks may wait; cancelling one does not affect the lock. Once it has returned, the end of
        the block does not raise the loss again. Raises `ValueError` if the lock is not acquired.
        """
        if self._hold is None:
            raise ValueError(f"the lock {self.key!r} is not acquired")
        return LockLoss(self._hold)

    def ownership(self) -> Compare:
        """Return a compare that succeeds until the lock is released or lost.

        Add it to the transactions that the lock protects: one that arrives after the loss changes
        nothing. Raises `ValueError` if the lock is not acquired.
        """
        if self._hold is None:
            raise ValueError(f"the lock {self.key!r} is not acquired")
        return self._hold.ownership()

    # Releasing -------------------------------------------------------------------------

    async def release(self) -> bool:
        """Release the lock; return whether it was still held. False if it was not acquired.

        If another client holds the lock by now, nothing changes. A cancellation is raised after the
        lock was released and its lease was revoked. After a `ClientError` the lock counts as
        released here; in etcd it ends with its lease at the latest.
        """
        return False if self._hold is None else await self._release(self._hold)

    async def _release(self, hold: _LockHold) -> bool:
        """Release a hold, which need not be the present one: another task may have the lock now."""
        hold.left = True
        if self._hold is hold:
            self._hold = self.lease = self.fencing_token = None
        held = await self._services.run_to_completion(self._end(hold))
        if not held:
            hold.notify()
        return held

    async def _end(self, hold: _LockHold) -> bool:
        try:
            return await hold.release(self._delete(hold))
        finally:
            await log_errors(hold.lease.revoke())

    async def _delete(self, hold: _LockHold) -> bool:
        txn = self._services.kv.transactions
        # The deletion of its key among those that wait wakes the next one.
        leaving = [] if hold.queue_key is None else [txn.delete(hold.queue_key)]
        # It may arrive late: the value is the same for all holds of this object, the create
        # revision is not.
        result = await self._services.kv.transaction(
            [hold.ownership()], [txn.delete(self.key), *leaving], leaving
        )
        return result.succeeded

    async def __aenter__(self) -> Lock:
        if not await self.acquire():
            raise LockTimeoutError(
                f"could not acquire the lock {self.key!r} within {self.timeout} s"
            )
        self._blocks.enter(self._hold, cancel_on_loss=self.cancel_on_loss)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._blocks.leave(error, self._release, self._hold)

    def __repr__(self) -> str:
        return f"Lock(key={self.key!r}, ttl={self.ttl}, fencing_token={self.fencing_token})"
