"""Grants and revocations leak no lease when answers are lost or callers are cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from lease_support import PATIENT, is_there, until

from etcd_channel import Channel, ClientClosedError, ClientError, DuplicateLeaseError
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease import LeaseClient, LeaseExpiredError
from etcd_testing import EtcdServer, FaultProxy


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A separate server, which has the leases of this test only."""
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def proxy(server: EtcdServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def faulty(proxy: FaultProxy) -> AsyncIterator[LeaseClient]:
    """A client on a proxy that can break its connections."""
    async with Channel(proxy.endpoint) as channel:
        yield LeaseClient(channel)


@pytest.fixture
async def witness(server: EtcdServer) -> AsyncIterator[LeaseClient]:
    """A client that is connected to the server directly."""
    async with Channel(server.endpoint, **PATIENT) as channel:
        yield LeaseClient(channel)


async def test_a_grant_whose_answer_is_lost_is_repeated_and_makes_one_lease(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    await faulty.channel.connect()
    killed = proxy.kill_next_reply()
    lease = await faulty.lease(60)
    assert killed.done()
    assert await witness.leases() == [lease.id]
    assert lease.ttl == 60
    assert 0 < lease.remaining <= 60
    assert await lease.granted_ttl() == 60


async def test_a_grant_with_the_callers_id_is_sent_once_and_not_revoked(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    await faulty.channel.connect()
    killed = proxy.kill_next_reply()
    with pytest.raises(ClientError) as raised:
        await faulty.lease(60, 4711)
    assert killed.done()
    assert not raised.value.definite
    # The lease may belong to another program: only the caller can revoke it.
    assert await witness.leases() == [4711]
    with pytest.raises(DuplicateLeaseError):
        await faulty.lease(60, 4711)


async def test_a_grant_that_is_never_answered_is_revoked_when_the_server_is_reached_again(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    await faulty.channel.connect()
    proxy.drop("to_client")
    granting = asyncio.create_task(faulty.lease(60, timeout=5))
    await until(lambda: _count(witness), 1)
    with pytest.raises(ClientError) as raised:
        await granting
    assert not raised.value.definite
    proxy.heal()
    await until(witness.leases, [])


async def test_a_grant_that_was_never_sent_is_definite_and_revokes_nothing() -> None:
    channel = Channel("127.0.0.1:1", connect_timeout=0.1)
    with pytest.raises(ClientError) as raised:
        await LeaseClient(channel).lease(60)
    assert raised.value.definite
    await channel.close()


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_grant_whose_answer_came_after_its_time_to_live_is_no_lease(
    server: EtcdServer, proxy: FaultProxy, witness: LeaseClient, keep_alive: bool
) -> None:
    async def was_granted() -> bool:
        return (await server.metrics()).get("etcd_debugging_lease_granted_total", 0) >= 1

    async with Channel(proxy.endpoint, connect_timeout=60, keepalive_timeout=60) as channel:
        await channel.connect()
        proxy.black_hole("to_client")
        granting = asyncio.create_task(LeaseClient(channel).lease(1, keep_alive=keep_alive))
        # A busy machine may see it too late among the leases.
        await until(was_granted, True)
        await asyncio.sleep(1.0)
        proxy.heal()
        with pytest.raises(LeaseExpiredError):
            await granting
    await until(witness.leases, [])


async def _count(client: LeaseClient) -> int:
    return len(await client.leases())


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_grant_that_is_cancelled_anywhere_leaves_no_lease(
    server: EtcdServer,
    witness: LeaseClient,
    keep_alive: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine may need more than the second that closing waits for.
    monkeypatch.setattr("etcd_channel.channel._BACKGROUND_TIME", 60.0)
    for turns in range(60):
        channel = Channel(server.endpoint, connect_timeout=60, keepalive_timeout=60)
        if turns % 2:
            await channel.connect()
        granting = asyncio.create_task(LeaseClient(channel).lease(600, keep_alive=keep_alive))
        for _ in range(min(turns, 40)):
            await asyncio.sleep(0)
        if turns > 40:
            await asyncio.sleep((turns - 40) / 5000)
        granting.cancel()
        await asyncio.wait([granting])
        if not granting.cancelled():
            await granting.result().revoke()
        await channel.close()
    assert await witness.leases() == []


async def test_a_grant_that_is_cancelled_in_flight_is_revoked(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    await faulty.channel.connect()
    proxy.black_hole("to_client")
    granting = asyncio.create_task(faulty.lease(600))
    await until(lambda: _count(witness), 1)
    granting.cancel()
    await asyncio.wait([granting])
    assert granting.cancelled()
    proxy.heal()
    await until(witness.leases, [])


async def test_closing_the_channel_ends_a_grant_in_flight(
    faulty: LeaseClient, proxy: FaultProxy
) -> None:
    await faulty.channel.connect()
    proxy.black_hole()
    granting = asyncio.create_task(faulty.lease(600))
    await asyncio.sleep(0.05)
    await faulty.channel.close()
    with pytest.raises(ClientClosedError):
        await granting


async def test_a_grant_times_out_in_time(faulty: LeaseClient, proxy: FaultProxy) -> None:
    await faulty.channel.connect()
    proxy.black_hole()
    with pytest.raises(ClientError):
        await asyncio.wait_for(faulty.lease(600, timeout=0.2), 60)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(faulty.lease(600), 0.2)
    proxy.heal()


async def test_a_revocation_whose_answer_is_lost_is_no_failure(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    lease = await faulty.lease(600)
    killed = proxy.kill_next_reply()
    await lease.revoke()
    assert killed.done()
    assert await witness.leases() == []
    with pytest.raises(LeaseNotFoundError):
        await lease.revoke()


async def test_a_lease_counts_as_lost_once_its_revocation_starts_even_if_that_fails(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    lease = await faulty.lease(600, keep_alive=True)
    proxy.black_hole()
    revoking = asyncio.create_task(lease.revoke(timeout=0.2))
    await asyncio.sleep(0)
    assert lease.is_lost
    with pytest.raises(ClientError) as raised:
        await revoking
    assert not raised.value.definite
    assert lease.is_lost
    proxy.heal()


async def test_a_block_that_cannot_revoke_at_its_end_only_logs_it(
    faulty: LeaseClient,
    proxy: FaultProxy,
    witness: LeaseClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "etcd_lease"):
        async with faulty.lease(5) as lease:
            proxy.black_hole()
    assert f"the lease {lease.id} was not revoked" in caplog.text
    await until(witness.leases, [])
    proxy.heal()


async def test_a_block_whose_end_is_cancelled_still_revokes(
    faulty: LeaseClient, proxy: FaultProxy, witness: LeaseClient
) -> None:
    entered = asyncio.Event()

    async def body() -> None:
        async with faulty.lease(600):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    proxy.delay(0.1)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await until(witness.leases, [])


async def test_a_refresh_goes_to_the_next_member_when_one_is_silent() -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        # Two endpoints of one server: the channel chooses the first one at random.
        async with Channel([proxy.endpoint, server.endpoint]) as channel:
            client = LeaseClient(channel)
            lease = await client.lease(600)
            proxy.black_hole()
            for _ in range(3):
                await lease.refresh(timeout=10)
            assert await is_there(client, lease)
        proxy.heal()
