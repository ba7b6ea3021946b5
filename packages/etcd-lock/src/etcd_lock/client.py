"""Locks of all kinds, as methods of a client."""

from __future__ import annotations

from etcd_channel import Service
from etcd_lock.lock import Lock
from etcd_lock.session import Session

__all__ = ["LockClient"]


class LockClient(Service):
    """Makes locks, and sessions for mutexes and elections, on a channel."""

    def lock(
        self,
        key: bytes,
        ttl: int = 60,
        *,
        keep_alive: bool = False,
        cancel_on_loss: bool = False,
        timeout: float | None = 10,
    ) -> Lock:
        """Make a lock on a key; nothing is sent before it is acquired.

        `ttl` is the number of seconds after which a lock that nobody refreshes ends. The
        rest is as in `Lock`.
        """
        return Lock(
            self,
            key,
            ttl,
            keep_alive=keep_alive,
            cancel_on_loss=cancel_on_loss,
            timeout=timeout,
        )

    def session(self, ttl: int = 60, *, lease_id: int | None = None) -> Session:
        """Make a session, for `Mutex` and `Election`; await it, or enter it, to open it."""
        return Session(self, ttl, lease_id=lease_id)
