"""`LockClient` and `ServerLockClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from typing import Literal

import etcd_client
from etcd_client import KeyValue, LeaderKey, LeaseLike, ResponseHeader
from etcd_sync._handle import Service, refuse_cancel_on_loss
from etcd_sync._iteration import Iteration
from etcd_sync.lock import Lock
from etcd_sync.session import Session

__all__ = ["LockClient", "ServerLockClient"]


class LockClient(Service):
    """Makes locks, and sessions for mutexes and elections; observes elections."""

    _inner: etcd_client.KeyspaceClient

    def lock(
        self,
        key: bytes,
        ttl: int = 60,
        *,
        keep_alive: bool = False,
        cancel_on_loss: Literal[False] = False,
        timeout: float | None = 10,
    ) -> Lock:
        """Make a lock on a key; nothing is sent before it is acquired.

        `ttl` is the time to live of its lease in seconds: the lock ends if it is not refreshed for
        so long. `keep_alive` refreshes it while it is held, `cancel_on_loss` must be False, and
        `timeout` is the number of seconds to wait for it, None without limit; see `Lock`.
        """
        refuse_cancel_on_loss(cancel_on_loss)
        return Lock._of(
            self._portal,
            self._portal.call(
                self._inner.lock,
                key,
                ttl,
                keep_alive=keep_alive,
                cancel_on_loss=False,
                timeout=timeout,
            ),
        )

    def session(
        self, ttl: int = 60, *, lease_id: int | None = None, cancel_on_loss: Literal[False] = False
    ) -> Session:
        """Open a session for `Mutex`, `Election` and the other classes that are held with one.

        It is open when this returns; `with` closes it at the end of the block. `ttl` is the time to
        live of its lease in seconds, `lease_id` the id of the lease, None for one that the client
        chooses; `cancel_on_loss` must be False. See `Session`.
        """
        refuse_cancel_on_loss(cancel_on_loss)
        return Session._of(
            self._portal,
            self._portal.run(self._inner.session, ttl, lease_id=lease_id, cancel_on_loss=False),
        )

    def election_leader(self, name: bytes) -> KeyValue | None:
        """Return the key of the leader of an `Election`, with the last proclaimed value.

        None if there is no leader. It needs no session.
        """
        return self._portal.run(self._inner.election_leader, name)

    def observe_election(self, name: bytes) -> Iteration[KeyValue]:
        """Iterate over the leader's key of an `Election`: as it is now, then at each change.

        It needs no session; see `Election.observe`.
        """
        return self._portal.iterate(self._portal.call(self._inner.observe_election, name))


class ServerLockClient(Service):
    """etcd's own lock and election services: the server waits for the lock.

    They exclude `Mutex` and `Election` of the same names. Those wait in the client and continue to
    wait when a member fails; here the call fails then. `lease` is a lease or its id; the caller
    keeps it alive. Without one the server grants a lease of 60 seconds, which is not kept alive and
    cannot be revoked. A lock or a leadership is lost when that lease is lost: enter the lease, or
    call its `lost.wait()`. A deletion of the key is not reported, and `server_unlock` does not say
    whether the key still existed.

    `timeout` is the number of seconds that a call may take; None means no limit for `server_lock`
    and `server_campaign`, which wait for others, and the client's timeout for the other calls. When
    such a wait times out or is interrupted, the server withdraws the request. With a `lease`, an
    interruption is raised after the key was deleted. After an error that is not `definite` the lock
    may have been acquired: revoke the lease. Every call that fails raises a `ClientError`.
    """

    _inner: etcd_client.KeyspaceClient

    def server_lock(
        self, name: bytes, lease: LeaseLike | None = None, *, timeout: float | None = None
    ) -> bytes:
        """Wait for the lock `name`, and return its key, which `server_unlock` takes."""
        return self._portal.run(self._inner.server_lock, name, lease, timeout=timeout)

    def server_unlock(self, key: bytes, *, timeout: float | None = None) -> ResponseHeader:
        """Release a lock by the key that `server_lock` returned."""
        return self._portal.run(self._inner.server_unlock, key, timeout=timeout)

    def server_campaign(
        self,
        name: bytes,
        value: bytes,
        lease: LeaseLike | None = None,
        *,
        timeout: float | None = None,
    ) -> LeaderKey:
        """Wait until an election is won with `value`, and return the leadership."""
        return self._portal.run(self._inner.server_campaign, name, value, lease, timeout=timeout)

    def server_proclaim(
        self, leader: LeaderKey, value: bytes, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Replace the leader's value; raises a `ClientError` if the leadership has ended."""
        return self._portal.run(self._inner.server_proclaim, leader, value, timeout=timeout)

    def server_leader(self, name: bytes, *, timeout: float | None = None) -> KeyValue:
        """Return the leader's key with its value; raises a `ClientError` if there is no leader."""
        return self._portal.run(self._inner.server_leader, name, timeout=timeout)

    def server_observe(self, name: bytes, *, timeout: float | None = None) -> Iteration[KeyValue]:
        """Iterate over the leader's key: as it is now, then at each change.

        A break of the connection raises a `ClientError`; `Election.observe` survives it. `timeout`
        limits the whole iteration, None without limit. Close the iterator (`close`, or `with`) to
        end it early.
        """
        return self._portal.iterate(self._inner.server_observe(name, timeout=timeout))

    def server_resign(self, leader: LeaderKey, *, timeout: float | None = None) -> ResponseHeader:
        """Stop leading; does nothing if the leadership has ended."""
        return self._portal.run(self._inner.server_resign, leader, timeout=timeout)
