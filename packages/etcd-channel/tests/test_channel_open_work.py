"""`run_while_open` runs work from the first use of a channel until it is closed."""

from __future__ import annotations

import asyncio

import pytest
from channel_support import HANG

from etcd_channel import Channel, ChannelView, ClientClosedError


class Work:
    """Work that never ends by itself."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            self.ended.set()


async def test_work_begins_with_the_first_use_and_ends_before_the_channel_is_closed(
    etcd_endpoint: str,
) -> None:
    channel = Channel(etcd_endpoint)
    first, second = Work(), Work()
    channel.run_while_open(first)
    await asyncio.sleep(0)
    assert not first.began.is_set()
    await channel.connect()
    await asyncio.wait_for(first.began.wait(), HANG)
    ChannelView(channel).run_while_open(second)
    await asyncio.wait_for(second.began.wait(), HANG)
    await channel.close()
    assert first.ended.is_set()
    assert second.ended.is_set()


async def test_work_of_a_channel_that_is_never_used_never_begins() -> None:
    channel = Channel("localhost:1")
    work = Work()
    channel.run_while_open(work)
    await channel.close()
    assert not work.began.is_set()


async def test_a_closed_channel_takes_no_work() -> None:
    channel = Channel("localhost:1")
    await channel.close()
    with pytest.raises(ClientClosedError):
        channel.run_while_open(Work())


async def test_work_that_comes_while_the_channel_is_closed_never_begins(
    etcd_endpoint: str,
) -> None:
    channel = Channel(etcd_endpoint)
    late = Work()

    async def release() -> None:
        channel.run_while_open(late)

    await channel.connect()
    closing = asyncio.create_task(channel.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    channel.run_in_background(release())
    await closing
    assert not late.began.is_set()


async def test_the_error_of_work_is_logged(
    etcd_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("the work")

    async with Channel(etcd_endpoint) as channel:
        channel.run_while_open(fail)
        while not caplog.records:  # noqa: ASYNC110  # the log has no event
            await asyncio.sleep(0)
    assert "the work" in caplog.text
