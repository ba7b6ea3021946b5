"""A key with a lease while it is held: its loss, and which tasks were notified of it."""

from __future__ import annotations

import abc
import asyncio
import logging
import weakref
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from etcd_channel import ClientClosedError, RevisionCompactedError
from etcd_channel.owner import current_owner
from etcd_kv import Compare
from etcd_lease import Lease, LeaseExpiredError
from etcd_lease.blocks import LossNotices
from etcd_lease.loss import Loss, loss_notices
from etcd_lock._services import Services
from etcd_lock._waiting import until_one_is_done
from etcd_lock.errors import LockLostError
from etcd_watch import EventKind

__all__ = ["BlockToken", "Hold", "Holding", "LockLoss", "lost_with_lease", "surrounding_blocks"]

_log = logging.getLogger("etcd_lock")


class BlockToken:
    """Stands for a block in contexts, which outlive it and must not keep its hold."""

    left = False


surrounding_blocks: ContextVar[tuple[BlockToken, ...]] = ContextVar("etcd_lock_blocks", default=())
"""The blocks that the current task is in, or was created in, the innermost last."""

# Seconds for the call that finds out whether the lease of a deleted key has ended.
_REASON_TIMEOUT = 1.0


def lost_with_lease(name: str, key: bytes, lease: Lease) -> LockLostError:
    """Return the error for a loss whose reason is the lease: it is lost, or not on the server."""
    cause = lease.loss
    return _error(name, cause or f"its lease {lease.id} has ended", key, lease, cause)


def _error(
    name: str, why: object, key: bytes, lease: Lease, cause: LeaseExpiredError | None
) -> LockLostError:
    error = LockLostError(f"{name} is lost: {why}", key=key, lease_id=lease.id)
    error.__cause__ = cause
    return error


class Holding(abc.ABC):
    """One key, or several, held with a lease.

    `name` is the name of the lock in errors and in the log.
    """

    name: str
    lease: Lease
    left = False
    """Whether the object has let it go, because a call has released it or has begun to."""
    of_block = False
    """Whether a block was entered with it, so that no other one leaves it."""
    acquired_in: tuple[BlockToken, ...] = ()
    """The blocks in whose body, or in a task that was created there, it was acquired."""
    _acquirer: weakref.ref[object] | None = None

    def record_acquirer(self) -> None:
        """Record that the current task, or the thread that it works for, has acquired it."""
        owner = current_owner()
        self._acquirer = None if owner is None else weakref.ref(owner)
        self.acquired_in = surrounding_blocks.get()

    @property
    def is_own(self) -> bool:
        """Whether the current task has acquired it, or the thread that it works for."""
        owner = None if self._acquirer is None else self._acquirer()
        return owner is not None and owner is current_owner()

    @property
    @abc.abstractmethod
    def notified(self) -> bool:
        """Whether any task was notified of the loss of a key, or this task of the lease's."""

    @abc.abstractmethod
    def notify(self, creator: asyncio.Task[Any] | None = None) -> None:
        """Record that the current task is notified of the loss, and `creator`."""

    @abc.abstractmethod
    def error(self) -> LockLostError:
        """Return the error for the loss, or for the release if the program released it."""

    @abc.abstractmethod
    async def until_lost(self) -> LockLostError:
        """Wait until it is lost or released; return the error without counting as notified."""

    @abc.abstractmethod
    async def loss_to_cancel_for(self) -> LockLostError | None:
        """Wait until it is lost or released; return the error if it is lost, else None."""

    @abc.abstractmethod
    def record_failed_release(self) -> None:
        """Record that a release after the loss has failed, so that it counts as lost."""

    async def loss_on_leaving(self, releasing: Coroutine[Any, Any, bool]) -> LockLostError | None:
        """Await the release; return the error if it was lost before."""
        was_lost = self.lease.is_lost
        try:
            held = await releasing
        except Exception as error:
            if not was_lost:
                raise
            # Also an error of a view of the channel, which must not hide the loss.
            _log.warning("%s could not be released: %s", self.name, repr(error))
            self.record_failed_release()
            held = False
        return None if held else self.error()


class Hold(Holding):
    """A key that was created with a lease, until it is released or lost.

    `name` is the name of the lock in errors and in the log. Several keys may share the lease;
    `notices` is about this key.
    """

    def __init__(
        self, services: Services, name: str, key: bytes, revision: int, lease: Lease
    ) -> None:
        self.name = name
        self.key = key
        self.lease = lease
        self.released = False
        """Whether the program has released it, or has begun to: then its end is no loss."""
        self.notices = LossNotices()
        self._services = services
        self._revision = revision
        # The reason at the time the loss was detected: the lease may be revoked later.
        self._loss_recorded = False
        self._cause: LeaseExpiredError | None = None
        self._release_done: asyncio.Future[None] | None = None

    def ownership(self) -> Compare:
        """Return a compare that succeeds while the key exists since it was created."""
        return self._services.kv.transactions.create(self.key) == self._revision

    async def key_exists(self) -> bool:
        """Ask etcd whether the key exists since it was created."""
        return await self._read() == self._revision

    def error(self) -> LockLostError:
        cause = self._cause if self._loss_recorded else self.lease.loss
        why: object = "it was released"
        if not self.released:
            why = f"its key {self.key!r} was deleted" if cause is None else cause
        return _error(self.name, why, self.key, self.lease, None if self.released else cause)

    async def until_lost(self) -> LockLostError:
        if self._loss_recorded or self.lease.is_lost:
            self._record_loss()
        else:
            await self._watch_for_loss()
        if self._release_done is not None:
            # Only then is it known whether the key still existed.
            await asyncio.wait([self._release_done])
        return self.error()

    async def _watch_for_loss(self) -> None:
        """Watch the key until it or the lease is gone, and record why."""
        ended = asyncio.create_task(self.lease.until_lost())
        deleted = asyncio.create_task(self._until_deleted())
        await until_one_is_done(ended, deleted, timeout=None)
        if not deleted.cancelled():
            deleted.result()
            await self.record_deleted_key()
        else:
            self._record_loss()

    async def loss_to_cancel_for(self) -> LockLostError | None:
        error = await self.until_lost()
        return None if self.released else error

    @property
    def key_was_deleted(self) -> bool:
        """Whether it is known to be lost because its key was deleted, and not with its lease."""
        return self._loss_recorded and self._cause is None

    @property
    def notified(self) -> bool:
        return self.notices.given or loss_notices(self.lease).given_to_current_task

    def notify(self, creator: asyncio.Task[Any] | None = None) -> None:
        self.notices.add(creator)
        if self.lease.is_lost:
            # The session need not raise it again to these tasks; its other keys still do.
            loss_notices(self.lease).add(creator)

    async def release(self, deleting: Coroutine[Any, Any, bool]) -> bool:
        """Await the deletion of the key; return False if the key no longer existed."""
        self._release_done = asyncio.get_running_loop().create_future()
        # A lock that is known to be lost cannot be released.
        self.released = not self._loss_recorded
        try:
            # If this raises, it still counts as released: the deletion may have been applied, or
            # may be applied later.
            held = await deleting
            if not held:
                self.released = False
                await self.record_deleted_key()
            return held
        finally:
            self._release_done.set_result(None)

    def record_failed_release(self) -> None:
        self.released = False

    async def record_deleted_key(self) -> None:
        """Record that the key was deleted, find out why, and log it."""
        if not (self.released or self.lease.is_lost):
            try:
                await self._services.leases.get_lease_info(
                    self.lease, keys=False, timeout=_REASON_TIMEOUT
                )
            except Exception as error:
                # If the server does not have the lease, the lease is marked as lost by now. An
                # error of a view of the channel must not hide the loss from those that wait for it.
                _log.debug("%s: the reason for the loss is unknown: %s", self.name, repr(error))
        self._record_loss()

    def _record_loss(self) -> None:
        """Keep the reason for the loss, and log it.

        It is not logged if the loss of the lease was logged, or if the program ended the lease.
        """
        if self.released or self._loss_recorded:
            return
        self._loss_recorded, self._cause = True, self.lease.loss
        by_lease = self.lease.is_kept_alive or self.lease.is_revoked
        if self._cause is None or not by_lease:
            _log.warning("%s", str(self.error()))

    async def _until_deleted(self) -> None:
        try:
            await self._deletion()
            return
        except Exception as error:
            # Also an error of a view of the channel: the end of the lease must still be reported.
            level = logging.DEBUG if isinstance(error, ClientClosedError) else logging.WARNING
            message = (
                "%s: the key %r cannot be watched, so only the end of its lease is detected: %s"
            )
            _log.log(level, message, self.name, self.key, str(error))
        # Here, because the `except` would keep the error, and its frames, for as long.
        await asyncio.get_running_loop().create_future()

    async def _deletion(self) -> None:
        start = self._revision + 1
        while True:
            watches = self._services.watches
            try:
                async with watches.watch(
                    self.key, start_revision=start, kind=EventKind.DELETE
                ) as watch:
                    async for _ in watch:
                        return
            except RevisionCompactedError as compaction:
                start = max(start, compaction.compacted_revision)
            # The history was compacted while the stream was broken: read the key itself.
            if await self._read() != self._revision:
                return

    async def _read(self) -> int | None:
        """Return the create revision of the key; None if it does not exist."""
        found = await self._services.kv.get(self.key, keys_only=True)
        return None if found is None else found.create_revision


class LockLoss(Loss[LockLostError]):
    """Waits until a lock, a mutex, a leadership or a queue entry is lost; see `Lock.lost`."""

    def __init__(self, hold: Holding) -> None:
        super().__init__()
        self._hold = hold

    async def _wait(self) -> LockLostError:
        error = await self._hold.until_lost()
        self._hold.notify(self._created_by())
        return error

    def __repr__(self) -> str:
        return f"LockLoss({self._hold.name})"
