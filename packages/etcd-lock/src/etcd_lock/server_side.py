"""The lock and election services that etcd's server offers itself (v3lock, v3election)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from etcd_channel import KeyValue, Record, ResponseHeader, Service
from etcd_channel.arguments import check_bytes, check_key
from etcd_kv.requests import LeaseLike, lease_id
from etcd_lock.pb import v3election_pb2, v3lock_pb2
from etcd_lock.rpcs import CAMPAIGN, LEADER, LOCK, OBSERVE, PROCLAIM, RESIGN, UNLOCK

__all__ = ["LeaderKey", "ServerLockClient"]


class LeaderKey(Record):
    """A leadership, as the server hands it to who won it."""

    _fields: ClassVar[tuple[str, ...]] = ("name", "key", "revision", "lease")
    __slots__ = _fields

    name: bytes
    """The election's name."""
    key: bytes
    """The key that stands for the leadership; it is gone when the leadership is."""
    revision: int
    """The create revision of the key."""
    lease: int
    """The lease that the leadership ends with."""

    def __init__(self, message: v3election_pb2.LeaderKey) -> None:
        self.name = message.name
        self.key = message.key
        self.revision = message.rev
        self.lease = message.lease

    def message(self) -> v3election_pb2.LeaderKey:
        """The leadership as it goes over the wire."""
        return v3election_pb2.LeaderKey(
            name=self.name, key=self.key, rev=self.revision, lease=self.lease
        )


class ServerLockClient(Service):
    """Locks and elections for which the server waits, on a channel.

    They share names, and exclude each other, with `Mutex` and `Election`, which do the
    same from the client's side and survive the loss of a member; here a wait ends in an
    error when the member does. `lease` is a lease or its id; the caller keeps it alive.
    Without one the server makes one of 60 seconds that nobody keeps alive or can revoke.

    `timeout` is the number of seconds that a call may take; None means no limit for
    `server_lock` and `server_campaign`, which wait for others, and the channel's for the
    rest. Giving up such a wait, by `timeout` or cancellation, makes the server withdraw;
    where the error is not `definite` it may have been won all the same: revoke the lease.
    """

    async def server_lock(
        self, name: bytes, lease: LeaseLike | None = None, *, timeout: float | None = None
    ) -> bytes:
        """Wait for a lock, and return the key that stands for it, which unlocks it."""
        request = v3lock_pb2.LockRequest(name=check_key("name", name), lease=_lease(lease))
        return (await self._channel.call(LOCK, request, timeout=timeout)).key

    async def server_unlock(self, key: bytes, *, timeout: float | None = None) -> ResponseHeader:
        """Release a lock by the key that `server_lock` returned."""
        request = v3lock_pb2.UnlockRequest(key=check_key("key", key))
        return ResponseHeader((await self._channel.call(UNLOCK, request, timeout=timeout)).header)

    async def server_campaign(
        self,
        name: bytes,
        value: bytes,
        lease: LeaseLike | None = None,
        *,
        timeout: float | None = None,
    ) -> LeaderKey:
        """Wait until an election is won with `value`, and return the leadership."""
        request = v3election_pb2.CampaignRequest(
            name=check_key("name", name), lease=_lease(lease), value=check_bytes("value", value)
        )
        return LeaderKey((await self._channel.call(CAMPAIGN, request, timeout=timeout)).leader)

    async def server_proclaim(
        self, leader: LeaderKey, value: bytes, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Say something else as leader; a `ClientError` when the leadership is over."""
        request = v3election_pb2.ProclaimRequest(
            leader=_leader(leader), value=check_bytes("value", value)
        )
        response = await self._channel.call(PROCLAIM, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def server_leader(self, name: bytes, *, timeout: float | None = None) -> KeyValue:
        """Return the leader's key and what it said last; a `ClientError` if nobody leads."""
        request = v3election_pb2.LeaderRequest(name=check_key("name", name))
        return KeyValue((await self._channel.call(LEADER, request, timeout=timeout)).kv)

    async def server_observe(
        self, name: bytes, *, timeout: float | None = None
    ) -> AsyncIterator[KeyValue]:
        """Iterate over what leaders say, beginning with the one there is.

        A break of the connection ends it with a `ClientError`; `Election.observe` goes on.
        """
        request = v3election_pb2.LeaderRequest(name=check_key("name", name))
        async for response in self._channel.download(OBSERVE, request, timeout=timeout):
            yield KeyValue(response.kv)

    async def server_resign(
        self, leader: LeaderKey, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Stop leading; nothing happens when the leadership is over."""
        request = v3election_pb2.ResignRequest(leader=_leader(leader))
        return ResponseHeader((await self._channel.call(RESIGN, request, timeout=timeout)).header)


def _lease(lease: LeaseLike | None) -> int:
    return 0 if lease is None else lease_id("lease", lease)


def _leader(leader: object) -> v3election_pb2.LeaderKey:
    if not isinstance(leader, LeaderKey):
        raise TypeError(f"leader must be a LeaderKey, not {type(leader).__name__}")
    return leader.message()
