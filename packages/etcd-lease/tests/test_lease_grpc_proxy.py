"""Leases through etcd's grpc-proxy, which renews them at its own interval."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from etcd_channel import Channel
from etcd_channel.errors import LeaseNotFoundError
from etcd_lease import Lease, LeaseClient
from etcd_testing import GrpcProxy


@pytest.fixture
async def leases(etcd_grpc_proxy: GrpcProxy) -> AsyncIterator[LeaseClient]:
    # The proxy may let a renewal wait until it renews the lease itself, a third of the TTL later:
    # if the stream that renewed the lease before has ended, but the proxy has not noticed yet.
    async with Channel(etcd_grpc_proxy.endpoint, timeout=60) as channel:
        yield LeaseClient(channel)


async def renewed(lease: Lease, left: float) -> None:
    """Wait until the remaining time of the lease has grown."""
    while lease.remaining <= left:
        lease.check()
        await asyncio.sleep(0.05)


async def test_a_lease_is_renewed_once(leases: LeaseClient) -> None:
    lease = await leases.lease(60)
    for _ in range(3):
        assert (await lease.refresh()).ttl == 60
    await lease.revoke()
    with pytest.raises(LeaseNotFoundError):
        await leases.refresh_lease(lease.id)


async def test_many_leases_are_renewed_at_once(leases: LeaseClient) -> None:
    granted = [await leases.lease(60) for _ in range(20)]
    await asyncio.gather(*(lease.refresh() for lease in granted))
    await asyncio.gather(*(lease.revoke() for lease in granted))


async def test_a_lease_outlives_its_ttl_while_it_is_kept_alive(leases: LeaseClient) -> None:
    async with await leases.lease(12, keep_alive=True) as lease:
        await asyncio.sleep(1.5 * lease.ttl)
        lease.check()
        assert await lease.remaining_ttl() >= 0
        assert leases.channel.reconnects == 0


async def test_a_keep_alive_that_the_proxy_answers_late_breaks_no_stream(
    etcd_grpc_proxy: GrpcProxy,
) -> None:
    async with (
        Channel(etcd_grpc_proxy.endpoint) as first_channel,
        Channel(etcd_grpc_proxy.endpoint) as second_channel,
    ):
        first = await LeaseClient(first_channel).lease(18)
        second = Lease(first.id, first.ttl, LeaseClient(second_channel))
        await second.refresh()
        # From a third of its time on a lease is renewed as soon as it is kept alive. The first to
        # ask makes the proxy renew it; the second is answered when the proxy does so again.
        await asyncio.sleep(first.ttl / 3 + 0.5)
        left = second.remaining
        await first.keep_alive()
        await renewed(first, left)
        await second.keep_alive()
        await renewed(second, left)
        assert second_channel.reconnects == 0
        await first.revoke()
