"""The leases granted to a task are revoked, however often the task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from lease_support import until

from etcd_channel import Channel
from etcd_lease import Lease, LeaseClient
from etcd_testing import EtcdServer, cancel_everywhere

TTL = 600


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A client of a separate server, so that its leases can be counted."""
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def alone(server: EtcdServer) -> AsyncIterator[LeaseClient]:
    async with Channel(server.endpoint, connect_timeout=60, keepalive_timeout=60) as channel:
        yield LeaseClient(channel)


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_cancelled_grant_leaves_no_lease(alone: LeaseClient, keep_alive: bool) -> None:
    async def grant() -> Lease:
        return await alone.lease(TTL, keep_alive=keep_alive)

    assert await cancel_everywhere(
        grant, lambda: until(alone.leases, []), undo=lambda lease: lease.revoke()
    )


@pytest.mark.parametrize("cancel_on_loss", [False, True])
@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_cancelled_block_revokes_its_lease(
    alone: LeaseClient, keep_alive: bool, cancel_on_loss: bool
) -> None:
    async def work() -> None:
        async with alone.lease(TTL, keep_alive=keep_alive, cancel_on_loss=cancel_on_loss):
            await asyncio.sleep(0)

    # A lease granted to a cancelled caller is revoked in the background.
    assert await cancel_everywhere(work, lambda: until(alone.leases, []))


async def test_a_block_that_is_cancelled_at_its_end_revokes_its_lease(alone: LeaseClient) -> None:
    lease = await alone.lease(TTL, keep_alive=True)

    async def leave() -> None:
        async with lease:
            pass

    async def granted_anew() -> None:
        nonlocal lease
        assert await alone.leases() == []
        lease = await alone.lease(TTL, keep_alive=True)

    assert await cancel_everywhere(leave, granted_anew)
    await lease.revoke()


async def test_closing_the_channel_waits_for_the_revocation(
    server: EtcdServer, alone: LeaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may need more than the second that closing waits for.
    monkeypatch.setattr("etcd_channel.channel._BACKGROUND_TIME", 60.0)

    async def work() -> None:
        async with Channel(server.endpoint, connect_timeout=60, keepalive_timeout=60) as channel:
            async with LeaseClient(channel).lease(TTL, keep_alive=True):
                await asyncio.sleep(0)

    async def none_is_left() -> None:
        # Closing the channel waits for the revocation, however often it is cancelled.
        assert await alone.leases() == []

    assert await cancel_everywhere(work, none_is_left)
