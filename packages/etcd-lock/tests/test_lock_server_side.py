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
    async with program.leases.lease(60) as one, program.leases.lease(60) as two:
        key = await server.server_lock(key_prefix, one)
        assert key == key_prefix + b"/" + f"{one.id:x}".encode()
        with pytest.raises(ConnectionTimeoutError) as caught:
            await server.server_lock(key_prefix, two, timeout=0.3)
        assert caught.value.definite is False
        # The server deletes the key of a call that has ended, but a little later.
        while (await program.kv.get_prefix(key_prefix, count_only=True)).count > 1:
            pass  # each iteration calls the server
        waiting = asyncio.create_task(server.server_lock(key_prefix, two.id))
        assert (await server.server_unlock(key)).revision
        assert await asyncio.wait_for(waiting, 60) == (key_prefix + b"/" + f"{two.id:x}".encode())


async def test_the_servers_election_is_won_proclaimed_observed_and_resigned(
    program: Program, key_prefix: bytes
) -> None:
    server = program.server_side
    async with program.leases.lease(60) as lease:
        with pytest.raises(ClientError):
            await server.server_leader(key_prefix)
        leader = await server.server_campaign(key_prefix, b"one", lease)
        assert isinstance(leader, LeaderKey)
        assert (leader.name, leader.lease) == (key_prefix, lease.id)
        by_hand = LeaderKey(key_prefix, leader.key, leader.revision, lease.id)
        assert by_hand == leader
        assert repr(by_hand) == repr(leader)
        assert (await server.server_leader(key_prefix)).value == b"one"
        values = []
        async for kv in server.server_observe(key_prefix):
            values.append(kv.value)
            if kv.value == b"two":
                break
            await server.server_proclaim(leader, b"two")
        assert values == [b"one", b"two"]
        await server.server_resign(leader)
        with pytest.raises(ClientError):
            await server.server_proclaim(leader, b"three")


async def test_wrong_arguments_are_named(program: Program, key_prefix: bytes) -> None:
    server = program.server_side
    with pytest.raises(TypeError, match="name must be bytes"):
        await server.server_lock("text")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="key must not be empty"):
        await server.server_unlock(b"")
    with pytest.raises(ValueError, match="lease must be"):
        await server.server_lock(key_prefix, "lease")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="leader must be a LeaderKey"):
        await server.server_resign(b"key")  # type: ignore[arg-type]  # on purpose
