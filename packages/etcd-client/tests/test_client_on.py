"""`Client.on`: clients on an existing channel."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from etcd_channel import Channel, ChannelView, FailedAttempt, Reconnect
from etcd_client import Client, ClientClosedError, ConnectionFailedError
from etcd_kv import KVClient
from etcd_testing import FaultProxy

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""


async def test_closing_a_client_leaves_a_channel_that_it_did_not_make_open(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as channel:
        async with Client.on(channel) as client:
            watch = await client.watch(key_prefix)
        await client.close()
        assert not channel.closed
        await KVClient(channel).put(key_prefix, b"v")
        assert (await asyncio.wait_for(watch.__anext__(), HANG)).kv.value == b"v"
    with pytest.raises(ClientClosedError):
        await client.get(key_prefix)
    with pytest.raises(ClientClosedError):
        await client.connect()
    assert channel.closed


async def test_a_client_that_cannot_connect_closes_only_a_channel_of_its_own() -> None:
    client = Client("127.0.0.1", 1, connect_wait_timeout=2)
    with pytest.raises(ConnectionFailedError):
        await client.__aenter__()
    assert client.channel.closed
    view = ChannelView(Channel("127.0.0.1:1", connect_timeout=2))
    with pytest.raises(ConnectionFailedError):
        await Client.on(view).__aenter__()
    assert not view.closed
    await view.close()


async def test_clients_on_one_channel_share_it(etcd_endpoint: str) -> None:
    async with Client(endpoints=etcd_endpoint) as owner:
        view = ChannelView(owner.channel)
        assert Client.on(owner.channel).channel is owner.channel
        assert Client.on(owner).channel is owner.channel
        assert Client.on(view).channel is view
        assert Client.on(KVClient(view)).channel is view
        assert (await Client.on(owner).status()).version


def test_only_a_channel_a_view_or_a_service_client_is_accepted() -> None:
    address: Any = "localhost:2379"
    with pytest.raises(TypeError, match=r"^channel must be a Channel, a view .*, not str$"):
        Client.on(address)


async def test_on_a_subclass_returns_an_instance_of_the_subclass(etcd_endpoint: str) -> None:
    class Mine(Client):
        """With methods of its own."""

    async with Channel(etcd_endpoint) as channel:
        assert type(Mine.on(channel)) is Mine


async def test_a_client_calls_on_reconnect_and_on_failed_attempt(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    reconnects: asyncio.Queue[Reconnect] = asyncio.Queue()
    attempts: list[FailedAttempt] = []
    async with FaultProxy(etcd_endpoint) as proxy:
        client = Client(
            endpoints=proxy.endpoint,
            on_reconnect=reconnects.put_nowait,
            on_failed_attempt=attempts.append,
        )
        async with client, client.watch(key_prefix):
            proxy.cut()
            told = await asyncio.wait_for(reconnects.get(), HANG)
            assert told.rpc == "Watch.Watch"
            assert isinstance(told.error, ConnectionFailedError)
            broke = [it for it in attempts if it.rpc == "Watch.Watch"]
            assert broke[0].repeated
            assert str(broke[0].error) == str(told.error)
