"""What a call left is cleaned up by the channel, which does not end before, or not much."""

from __future__ import annotations

import asyncio
import logging

import pytest
from google.protobuf.empty_pb2 import Empty

from etcd_channel import Channel, ConnectionFailedError, Rpc
from etcd_testing import EtcdServer

STATUS = Rpc("/etcdserverpb.Maintenance/Status", Empty, Empty, repeatable=True)


async def test_close_waits_for_the_cleaning_which_can_still_call(etcd_server: EtcdServer) -> None:
    channel = Channel(etcd_server.endpoint)
    cleaned: list[Empty] = []

    async def work() -> None:
        cleaned.append(await channel.call(STATUS, Empty()))

    await channel.connect()
    channel.clean_up(work())
    await channel.close()
    assert len(cleaned) == 1


async def test_close_cancels_a_cleaning_that_does_not_end(etcd_server: EtcdServer) -> None:
    channel = Channel(etcd_server.endpoint)
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await channel.connect()
    channel.clean_up(work())
    await channel.close()
    assert cancelled.is_set()


async def test_a_close_that_is_cancelled_closes_all_the_same(etcd_server: EtcdServer) -> None:
    channel = Channel(etcd_server.endpoint)
    await channel.connect()
    channel.clean_up(asyncio.Event().wait())
    closing = asyncio.create_task(channel.close())
    asyncio.get_running_loop().call_soon(closing.cancel)
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert channel.closed


@pytest.mark.parametrize("error", [ConnectionFailedError("gone"), RuntimeError("gone")])
async def test_an_error_of_the_cleaning_is_logged_and_stops_nothing(
    etcd_server: EtcdServer, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def work() -> None:
        raise error

    async with Channel(etcd_server.endpoint) as channel:
        with caplog.at_level(logging.WARNING, "etcd_channel"):
            channel.clean_up(work())
            await channel.call(STATUS, Empty())
    assert "gone" in caplog.text
