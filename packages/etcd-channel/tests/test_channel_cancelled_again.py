"""A task that is cancelled repeatedly leaves no channel half open."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.empty_pb2 import Empty

from etcd_channel import Channel, Rpc
from etcd_testing import EtcdServer, cancel_everywhere

STATUS = Rpc("/etcdserverpb.Maintenance/Status", Empty, Empty, repeatable=True)


async def test_entering_and_leaving_a_channel(etcd_server: EtcdServer) -> None:
    made: list[Channel] = []

    async def work() -> None:
        made.append(Channel(etcd_server.endpoint, connect_timeout=60))
        async with made[-1] as channel:
            await channel.call(STATUS, Empty())

    async def all_is_closed() -> None:
        assert all(channel.closed for channel in made)
        made.clear()

    assert await cancel_everywhere(work, all_is_closed)


async def test_closing_waits_for_background_work(
    etcd_server: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may need more than the second that closing waits for.
    monkeypatch.setattr("etcd_channel.channel._BACKGROUND_TIME", 60.0)
    made: list[Channel] = []
    cleaned: list[Empty] = []
    begun = 0

    async def work() -> None:
        nonlocal begun
        made.append(Channel(etcd_server.endpoint, connect_timeout=60))
        await made[-1].connect()
        made[-1].run_in_background(clean(made[-1]))
        begun += 1
        await made[-1].close()

    async def clean(channel: Channel) -> None:
        cleaned.append(await channel.call(STATUS, Empty()))

    async def all_was_cleaned() -> None:
        for channel in made:
            await channel.close()
        made.clear()
        assert len(cleaned) == begun

    assert await cancel_everywhere(work, all_was_cleaned)


async def test_a_task_that_is_cancelled_in_each_iteration_of_the_loop_still_closes(
    etcd_server: EtcdServer,
) -> None:
    # As anyio does until a cancelled scope is left.
    loop = asyncio.get_running_loop()
    channel = Channel(etcd_server.endpoint)

    async def work() -> None:
        async with channel:
            await asyncio.Event().wait()

    def cancel_again() -> None:
        if not task.done():
            task.cancel("again")
            loop.call_soon(cancel_again)

    await channel.connect()
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    cancel_again()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()
    assert channel.closed
