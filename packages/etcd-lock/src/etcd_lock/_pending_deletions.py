"""Retries the deletions of a session's keys that failed, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from etcd_channel import ChannelLike
from etcd_lease import Lease
from etcd_lock._waiting import until_one_is_done

__all__ = ["Deletion", "PendingDeletions"]

Deletion = Callable[[], Coroutine[Any, Any, bool]]
"""Deletes one entry by its create revision, so that it may be repeated or arrive late; returns
whether the key existed."""

# Seconds between two attempts: the first and the longest pause.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
# How often to look for a key whose put may still arrive: for about half a minute.
_MAX_CHECKS = 9


class _PendingDeletion(NamedTuple):
    deletion: Deletion
    in_doubt: bool
    checks_left: int


class PendingDeletions:
    """Deletes in the background the keys that a session could not delete, while it lasts.

    Such a key would block all later entries of its queue until the session ends.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self._channel = channel
        self._pending: dict[bytes, _PendingDeletion] = {}
        # Keys whose put may still arrive, and with which the session has an entry now: it has no
        # effect while that one exists, and looking for it would find that one.
        self._suspended: dict[bytes, _PendingDeletion] = {}
        self._running = False
        self._one_at_a_time = asyncio.Lock()

    def add(self, key: bytes, deletion: Deletion, lease: Lease, *, in_doubt: bool) -> None:
        """Delete a key later; does nothing when the channel is closed or the lease is lost.

        `in_doubt` says that the outcome of the key's put is unknown: it may reach etcd after a
        deletion, so the deletion is attempted several times.
        """
        if self._channel.closed or lease.is_lost:
            return
        checks = _MAX_CHECKS if in_doubt else 1
        self._pending[key] = _PendingDeletion(deletion, in_doubt, checks)
        self._run(lease)

    def resume(self, key: bytes, lease: Lease) -> None:
        """Look again for a put of `key` that may still arrive, when the later entry has left."""
        suspended = self._suspended.pop(key, None)
        if suspended is None or self._channel.closed or lease.is_lost:
            return
        if key in self._pending:
            # The deletion of the entry that left has failed: the late one comes after it.
            self._suspended[key] = suspended
        else:
            self._pending[key] = suspended
            self._run(lease)

    def _run(self, lease: Lease) -> None:
        if not self._running:
            self._running = True
            self._channel.run_in_background(self._delete_all(lease))

    async def delete_now(self, key: bytes) -> None:
        """Delete a key now if its deletion is pending; raise the error if that fails again.

        If its put may still arrive, it is looked for again after `resume`.
        """
        if key not in self._pending:
            return
        # A background attempt for the same key must have ended before the key is put again.
        async with self._one_at_a_time:
            if (pending := self._pending.get(key)) is None:
                return
            deleted = await pending.deletion()
            # It may be gone: all are dropped when the session's lease is lost.
            if self._pending.pop(key, None) is not None and pending.in_doubt and not deleted:
                self._suspended[key] = pending

    async def _delete_all(self, lease: Lease) -> None:
        pause = _FIRST_PAUSE
        try:
            while self._pending:
                lost: Awaitable[object] = lease.until_lost()
                await until_one_is_done(asyncio.ensure_future(lost), timeout=pause)
                if lease.is_lost:
                    self._pending.clear()
                    self._suspended.clear()
                    return
                for key in tuple(self._pending):
                    if not await self._attempt(key):
                        break
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._running = False

    async def _attempt(self, key: bytes) -> bool:
        """Delete a key; return False if that fails."""
        async with self._one_at_a_time:
            if (pending := self._pending.get(key)) is None:
                return True
            # Move it to the end, so that the next attempts start with the other keys: this deletion
            # may fail every time, for lack of permission.
            del self._pending[key]
            self._pending[key] = pending
            try:
                deleted = await pending.deletion()
            except Exception:
                return False  # an error of a view of the channel included
            if self._pending.get(key) is not pending:
                return True  # it was added again meanwhile
            if deleted or pending.checks_left == 1:
                del self._pending[key]
                if suspended := self._suspended.pop(key, None):
                    self._pending[key] = suspended
            else:
                self._pending[key] = pending._replace(checks_left=pending.checks_left - 1)
            return True
