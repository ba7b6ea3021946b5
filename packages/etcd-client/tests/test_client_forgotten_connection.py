"""A client whose connection the network has forgotten, with default settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from etcd_client import Client, ConnectionTimeoutError
from etcd_testing import FaultProxy

# Seconds; without probes of its own a client notices after more than a minute.
SOON = 45.0


@pytest.fixture
async def proxy(etcd_endpoint: str) -> AsyncIterator[FaultProxy]:
    """A proxy that can forget the connections of a client."""
    async with FaultProxy(etcd_endpoint) as proxy:
        yield proxy


async def test_a_watch_alone_goes_on(proxy: FaultProxy, client: Client, key_prefix: bytes) -> None:
    async with Client(endpoints=proxy.endpoint) as watching:
        async with watching.watch(key_prefix) as watch:
            assert proxy.forget() > 0
            await client.put(key_prefix, b"v")
            event = await asyncio.wait_for(anext(watch), SOON)
            assert event.kv.value == b"v"


async def test_a_watch_goes_on_and_a_lease_is_kept_beside_it(
    proxy: FaultProxy, client: Client, key_prefix: bytes
) -> None:
    async with Client(endpoints=proxy.endpoint) as watching:
        lease = await watching.lease(30, keep_alive=True)
        async with watching.watch(key_prefix) as watch:
            await lease.refresh()
            assert proxy.forget() > 0
            await client.put(key_prefix, b"v")
            event = await asyncio.wait_for(anext(watch), SOON)
            assert event.kv.value == b"v"
            await lease.refresh()
        assert not lease.is_lost
        await lease.revoke()


async def test_a_write_in_flight_ends_when_a_read_has_noticed(
    proxy: FaultProxy, client: Client, key_prefix: bytes
) -> None:
    async with Client(endpoints=proxy.endpoint) as silent:
        await silent.get(key_prefix)
        proxy.forget()
        writing = asyncio.create_task(silent.put(key_prefix, b"v", timeout=10 * SOON))
        await silent.get(key_prefix, timeout=SOON)
        with pytest.raises(ConnectionTimeoutError) as caught:
            await asyncio.wait_for(writing, SOON)
        assert not caught.value.definite
