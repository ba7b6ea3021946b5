"""The lock and election services of etcd's server (v3lock, v3election)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from etcd_channel import KeyValue, LeaseLike, ResponseHeader, Rpc, Service
from etcd_channel.arguments import check_bytes, check_key, check_lease_id
from etcd_channel.deadline import Deadline
from etcd_channel.tasks import log_errors
from etcd_kv import KVClient
from etcd_lock.pb import v3election_pb2, v3lock_pb2
from etcd_lock.rpcs import CAMPAIGN, LEADER, LOCK, OBSERVE, PROCLAIM, RESIGN, UNLOCK

__all__ = ["LeaderKey", "ServerLockClient"]

RequestT = TypeVar("RequestT", v3lock_pb2.LockRequest, v3election_pb2.CampaignRequest)
ResponseT = TypeVar("ResponseT", v3lock_pb2.LockResponse, v3election_pb2.CampaignResponse)

# Seconds between two reads that check whether the server has put a key.
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class LeaderKey:
    """A leadership, which the server returns to the winner of an election."""

    name: bytes
    """The name of the election."""
    key: bytes
    """The key of the leadership, which exists as long as the leadership."""
    revision: int
    """The create revision of the key."""
    lease: int
    """The id of the lease with which the leadership ends."""

    @classmethod
    def from_message(cls, message: v3election_pb2.LeaderKey) -> LeaderKey:
        """Make a leadership from the message of the server."""
        return cls(message.name, message.key, message.rev, message.lease)


class ServerLockClient(Service):
    """etcd's own lock and election services on a channel: the server waits for the lock.

    They exclude `Mutex` and `Election` of the same names. Those wait in the client and continue
    to wait when a member fails; here the call fails then. `lease` is a lease or its id; the caller
    keeps it alive. Without one the server grants a lease of 60 seconds, which is not kept alive
    and cannot be revoked. A lock or a leadership is lost when that lease is lost: enter the lease,
    or await its `lost`. A deletion of the key is not reported, and `server_unlock` does not say
    whether the key still existed.

    `timeout` is the number of seconds that a call may take; None means no limit for
    `server_lock` and `server_campaign`, which wait for others, and the channel's timeout for the
    other calls. When such a wait times out or is cancelled, the server withdraws the request. With
    a `lease`, a cancellation is raised after the key was deleted. After an error that is not
    `definite` the lock may have been acquired: revoke the lease. Every call that fails raises a
    `ClientError`.
    """

    async def server_lock(
        self, name: bytes, lease: LeaseLike | None = None, *, timeout: float | None = None
    ) -> bytes:
        """Wait for the lock `name`, and return its key, which `server_unlock` takes."""
        request = v3lock_pb2.LockRequest(name=check_key("name", name), lease=_lease(lease))
        return (await self._wait(LOCK, request, timeout)).key

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
        return LeaderKey.from_message((await self._wait(CAMPAIGN, request, timeout)).leader)

    async def server_proclaim(
        self, leader: LeaderKey, value: bytes, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Replace the leader's value; raises a `ClientError` if the leadership has ended."""
        request = v3election_pb2.ProclaimRequest(
            leader=_leader(leader), value=check_bytes("value", value)
        )
        response = await self._channel.call(PROCLAIM, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def server_leader(self, name: bytes, *, timeout: float | None = None) -> KeyValue:
        """Return the leader's key with its value; raises a `ClientError` if there is no leader."""
        request = v3election_pb2.LeaderRequest(name=check_key("name", name))
        response = await self._channel.call(LEADER, request, timeout=timeout)
        return KeyValue.from_message(response.kv)

    async def server_observe(
        self, name: bytes, *, timeout: float | None = None
    ) -> AsyncGenerator[KeyValue, None]:
        """Iterate over the leader's key: as it is now, then at each change.

        A break of the connection raises a `ClientError`; `Election.observe` survives it. `timeout`
        limits the whole iteration, None without limit. Close the iterator (`aclose`, or
        `async with contextlib.aclosing(…)`) to end it early.
        """
        request = v3election_pb2.LeaderRequest(name=check_key("name", name))
        async with aclosing(self._channel.download(OBSERVE, request, timeout=timeout)) as responses:
            async for response in responses:
                yield KeyValue.from_message(response.kv)

    async def server_resign(
        self, leader: LeaderKey, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Stop leading; does nothing if the leadership has ended."""
        request = v3election_pb2.ResignRequest(leader=_leader(leader))
        return ResponseHeader((await self._channel.call(RESIGN, request, timeout=timeout)).header)

    async def _wait(
        self, rpc: Rpc[RequestT, ResponseT], request: RequestT, timeout: float | None
    ) -> ResponseT:
        """Call an RPC that may wait; when cancelled, release what it may have acquired."""
        calling = asyncio.create_task(self._channel.call(rpc, request, timeout=timeout))
        try:
            await asyncio.wait([calling])
        except asyncio.CancelledError as cancellation:
            await self._channel.run_to_completion(self._withdraw(request, calling), cancellation)
            raise
        try:
            return calling.result()
        finally:
            del calling  # it keeps its error, which keeps this frame

    async def _withdraw(
        self,
        request: v3lock_pb2.LockRequest | v3election_pb2.CampaignRequest,
        calling: asyncio.Task[Any],
    ) -> None:
        try:
            if request.lease:
                # The server uses the key layout of the Go client.
                key = request.name + b"/%x" % request.lease
                kv = KVClient(self._channel)
                await log_errors(self._until_in_line(kv, key, calling))
                calling.cancel()
                await log_errors(kv.delete(key))
        finally:
            # Also after an error of a view of the channel, or the server would go on waiting.
            calling.cancel()
            await asyncio.wait([calling])
            if not calling.cancelled():
                calling.exception()

    async def _until_in_line(self, kv: KVClient, key: bytes, calling: asyncio.Task[Any]) -> None:
        """Wait until the server has put the key, which may be after the call was cancelled."""
        deadline = Deadline.after(self._channel.timeout)
        while not (calling.done() or deadline.passed):
            if await kv.get(key, keys_only=True) is not None:
                return
            await asyncio.wait([calling], timeout=_PAUSE)


def _lease(lease: LeaseLike | None) -> int:
    return 0 if lease is None else check_lease_id("lease", lease, none=True)


def _leader(leader: object) -> v3election_pb2.LeaderKey:
    if not isinstance(leader, LeaderKey):
        raise TypeError(f"leader must be a LeaderKey, not {type(leader).__name__}")
    return v3election_pb2.LeaderKey(
        name=leader.name, key=leader.key, rev=leader.revision, lease=leader.lease
    )
