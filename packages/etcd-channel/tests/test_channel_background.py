"""Background work: the channel waits for it when it is closed, but not for long."""

from __future__ import annotations

import asyncio
import logging

import pytest
from google.protobuf.empty_pb2 import Empty

from etcd_channel import Channel, ConnectionFailedError, Rpc
from etcd_testing import EtcdServer

STATUS = Rpc("/etcdserverpb.Maintenance/Status", Empty, Empty, repeatable=True)


async def test_close_waits_for_background_work_which_can_still_call(
    etcd_server: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may need more than the second that closing waits for.
    monkeypatch.setattr("etcd_channel.channel._BACKGROUND_TIME", 60.0)
    channel = Channel(etcd_server.endpoint)
    cleaned: list[Empty] = []

    async def work() -> None:
        cleaned.append(await channel.call(STATUS, Empty()))

    await channel.connect()
    channel.run_in_background(work())
    await channel.close()
    assert len(cleaned) == 1


async def test_close_waits_for_clean_up_of_tasks_that_were_cancelled_with_it(
    etcd_server: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may need more than the second that closing waits for.
    monkeypatch.setattr("etcd_channel.channel._BACKGROUND_TIME", 60.0)
    given_back: list[Empty] = []
    holding = asyncio.Semaphore(0)

    async def program() -> None:
        async with Channel(etcd_server.endpoint) as channel:

            async def give_back() -> None:
                given_back.append(await channel.call(STATUS, Empty()))

            async def hold(turns: int) -> None:
                holding.release()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError as error:
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    await channel.run_to_completion(give_back(), error)

            await asyncio.gather(*map(hold, range(5)))

    running = asyncio.create_task(program())
    for _ in range(5):
        await asyncio.wait_for(holding.acquire(), 60)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert len(given_back) == 5


async def test_background_work_begins_however_late_it_is_started(etcd_server: EtcdServer) -> None:
    for turns in range(50):
        channel = Channel(etcd_server.endpoint)
        await channel.connect()
        begun: list[int] = []

        async def work(begun: list[int] = begun, turns: int = turns) -> None:
            begun.append(turns)

        closing = asyncio.create_task(channel.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        if channel.closed:
            await closing
            break
        channel.run_in_background(work())
        await closing
        assert begun == [turns]


async def test_close_waits_only_a_second_for_clean_up_that_does_not_end(
    etcd_server: EtcdServer,
) -> None:
    channel = Channel(etcd_server.endpoint)
    await channel.connect()
    ended = asyncio.Event()
    working = asyncio.create_task(channel.run_to_completion(ended.wait()))
    await asyncio.sleep(0)
    await channel.close()
    assert not working.done(), "it is its caller's"
    ended.set()
    assert await working


async def test_close_cancels_background_work_that_does_not_end(etcd_server: EtcdServer) -> None:
    channel = Channel(etcd_server.endpoint)
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await channel.connect()
    channel.run_in_background(work())
    await channel.close()
    assert cancelled.is_set()


async def test_a_cancelled_close_still_closes(etcd_server: EtcdServer) -> None:
    channel = Channel(etcd_server.endpoint)
    await channel.connect()
    channel.run_in_background(asyncio.Event().wait())
    closing = asyncio.create_task(channel.close())
    asyncio.get_running_loop().call_soon(closing.cancel)
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert channel.closed


@pytest.mark.parametrize("error", [ConnectionFailedError("gone"), RuntimeError("gone")])
async def test_an_error_of_background_work_is_logged(
    etcd_server: EtcdServer, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def work() -> None:
        raise error

    async with Channel(etcd_server.endpoint) as channel:
        with caplog.at_level(logging.WARNING, "etcd_channel"):
            channel.run_in_background(work())
            await channel.call(STATUS, Empty())
    assert "gone" in caplog.text
