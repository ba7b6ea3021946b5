"""The client class: makes locks and sessions, and observes elections."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from etcd_channel import KeyValue, Service
from etcd_kv import KVClient
from etcd_lock._observing import election_prefix, first_key, observe_leaders
from etcd_lock.lock import Lock
from etcd_lock.session import Session

__all__ = ["LockClient"]


class LockClient(Service):
    """Makes locks, and sessions for mutexes and elections, on a channel; observes elections."""

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

        `ttl` is the time to live of its lease in seconds: the lock ends if it is not refreshed for
        so long. `keep_alive` refreshes it while it is held, `cancel_on_loss` cancels the body of
        `async with` when it is lost, and `timeout` is the number of seconds to wait for it, None
        without limit; see `Lock`.
        """
        return Lock(
            self,
            key,
            ttl,
            keep_alive=keep_alive,
            cancel_on_loss=cancel_on_loss,
            timeout=timeout,
        )

    def session(
        self, ttl: int = 60, *, lease_id: int | None = None, cancel_on_loss: bool = False
    ) -> Session:
        """Make a session for `Mutex`, `Election` and the other classes that are held with one.

        Await it, or enter it by `async with`, to open it. `ttl` is the time to live of its lease in
        seconds, `lease_id` the id of the lease, None for one that the client chooses;
        `cancel_on_loss` cancels the body of `async with` when the session is lost. See `Session`.
        """
        return Session(self, ttl, lease_id=lease_id, cancel_on_loss=cancel_on_loss)

    async def election_leader(self, name: bytes) -> KeyValue | None:
        """Return the key of the leader of an `Election`, with the last proclaimed value.

        None if there is no leader. It needs no session.
        """
        return await first_key(KVClient(self.channel), election_prefix(name))

    def observe_election(self, name: bytes) -> AsyncGenerator[KeyValue, None]:
        """Iterate over the leader's key of an `Election`: as it is now, then at each change.

        It needs no session; see `Election.observe`.
        """
        return observe_leaders(self.channel, election_prefix(name))
