"""The lock and election services of etcd's server."""

from __future__ import annotations

import asyncio

import pytest
from lock_support import Program

from etcd_channel import ClientError, ConnectionTimeoutError
from etcd_lock import LeaderKey


async def test_the_servers_lock_excludes_and_is_unlocked_by_its_key(
    program: Program, key_prefix: bytes
) -> None:
    server = program.server_side
    async with program.leases.lease(10) as one, program.leases.lease(10) as two:
        key = await server.server_lock(key_prefix, one)
        assert key == key_prefix + b"/" + f"{one.id:x}".encode()
        with pytest.raises(ConnectionTimeoutError) as caught:
            await server.server_lock(key_prefix, two, timeout=0.3)
        assert caught.value.definite is False
        waiting = asyncio.create_task(server.server_lock(key_prefix, two.id))
        assert (await server.server_unlock(key)).revision
        assert await asyncio.wait_for(waiting, 30) == (key_prefix + b"/" + f"{two.id:x}".encode())


async def test_the_servers_election_is_won_spoken_in_observed_and_resigned(
    program: Program, key_prefix: bytes
) -> None:
    server = program.server_side
    async with program.leases.lease(10) as lease:
        with pytest.raises(ClientError):
            await server.server_leader(key_prefix)
        leader = await server.server_campaign(key_prefix, b"one", lease)
        assert isinstance(leader, LeaderKey)
        assert (leader.name, leader.lease) == (key_prefix, lease.id)
        assert (await server.server_leader(key_prefix)).value == b"one"
        heard = []
        async for kv in server.server_observe(key_prefix):
            heard.append(kv.value)
            if kv.value == b"two":
                break
            await server.server_proclaim(leader, b"two")
        assert heard == [b"one", b"two"]
        await server.server_resign(leader)
        with pytest.raises(ClientError):
            await server.server_proclaim(leader, b"three")


async def test_wrong_arguments_are_named(program: Program, key_prefix: bytes) -> None:
    server = program.server_side
    with pytest.raises(TypeError, match="name must be bytes"):
        await server.server_lock("text")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="key must not be empty"):
        await server.server_unlock(b"")
    with pytest.raises(TypeError, match="lease must be"):
        await server.server_lock(key_prefix, "lease")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="leader must be a LeaderKey"):
        await server.server_resign(b"key")  # type: ignore[arg-type]  # on purpose
