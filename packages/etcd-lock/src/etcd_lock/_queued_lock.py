"""The base class of the locks that are held while their entry in a queue is admitted."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from etcd_channel.arguments import check_flag, check_wait
from etcd_channel.deadline import Deadline
from etcd_lock._entry_holder import EntryHolder
from etcd_lock._hold import Hold
from etcd_lock._hold_blocks import HoldBlocks
from etcd_lock._metrics import wait_measured
from etcd_lock._own_tasks import acquire_local
from etcd_lock.default_timeout import DefaultTimeout, seconds_to_wait
from etcd_lock.errors import LockTimeoutError
from etcd_lock.queue_entry import QueueEntry

__all__ = ["QueuedLock"]

_DEFAULT_TIMEOUT = DefaultTimeout("<the lock's timeout>")

_Self = TypeVar("_Self", bound="QueuedLock")


class QueuedLock(EntryHolder):
    """A lock on a session, held while its entry in a queue is admitted; an async context manager.

    `label` precedes its name in errors and in the log, for example "the mutex".
    """

    def __init__(
        self,
        entry: QueueEntry,
        name: bytes,
        label: str,
        *,
        cancel_on_loss: bool,
        timeout: float | None,
    ) -> None:
        super().__init__(entry, name, label)
        self.cancel_on_loss = check_flag("cancel_on_loss", cancel_on_loss)
        self.timeout = check_wait("timeout", timeout)
        self._blocks = HoldBlocks[Hold](entry.session.channel)

    async def acquire(self, timeout: float | None = _DEFAULT_TIMEOUT) -> bool:
        """Acquire the lock; return False if that took longer than `timeout` seconds.

        Without the argument, the `timeout` that the lock was made with applies. None sets no
        limit, 0 does not wait. If it returns False, raises or is cancelled, nothing is left in the
        queue. Tasks that share a session acquire it in the order of their calls. Raises
        `LockLostError` if the session ends, or the key is deleted, while it waits.
        """
        deadline = Deadline.after(seconds_to_wait(timeout, self.timeout))
        observer = self._entry._services.observer
        acquired = await wait_measured(
            observer, f"{type(self).__name__}.acquire", self._acquire(deadline)
        )
        if acquired and self._entry._hold is not None:
            self._entry._hold.record_acquirer()
        return acquired

    async def _acquire(self, deadline: Deadline) -> bool:
        local = self._entry.session._local_locks.at(self.key)
        if not await acquire_local(local, self._entry, deadline):
            return False
        held = False
        try:
            held = await self._entry.acquire(timeout=deadline.remaining())
        finally:
            if not held:
                local.release()
        return held

    async def is_acquired(self) -> bool:
        """Ask etcd whether the lock is held; False without a call if the session is known lost."""
        return await self._entry.is_admitted()

    async def release(self) -> bool:
        """Release the lock; return whether it was still held. False if it was not acquired.

        A cancellation is raised after the lock was released. After a `ClientError` the lock
        counts as released in this process; in etcd its key is deleted in the background as soon as
        etcd answers, or with the lease.
        """
        hold = self._entry._hold
        if hold is None or self.fencing_token is None:
            return False
        try:
            return await self._entry.leave()
        except Exception:
            # The session retries the deletion in the background.
            self._entry._reset()
            hold.left = True
            raise
        finally:
            self._entry.session._local_locks.at(self.key).release()

    async def __aenter__(self: _Self) -> _Self:
        if not await self.acquire():
            raise LockTimeoutError(f"could not acquire {self._title} within {self.timeout} s")
        self._blocks.enter(self._entry._hold, cancel_on_loss=self.cancel_on_loss)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        release = partial(self._release, self.release)
        await self._blocks.leave(error, release, self._entry._hold)
