"""A task that is cancelled during a call gets its own cancellation, with its message."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT

from etcd_channel import Channel, ClientClosedError
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing.played import PlayedEtcd, messages

GET = messages.RangeRequest(key=b"k")
WRITE = messages.PutRequest(key=b"k", value=b"v")
WHY = "because of this"


class Silent:
    """A server that accepts calls and answers none."""

    def __init__(self) -> None:
        self.taken = asyncio.Semaphore(0)
        self.played = PlayedEtcd(
            {
                RANGE: self._keep,
                PUT: self._keep,
                AUTHENTICATE: self._keep,
                SNAPSHOT: self._keep_stream,
            }
        )

    async def _keep(self, request: Any, context: Any) -> Any:
        self.taken.release()
        await asyncio.Event().wait()

    async def _keep_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.taken.release()
        await asyncio.Event().wait()
        yield


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    silent = Silent()
    async with silent.played:
        yield silent


async def download(channel: Channel) -> None:
    async for _ in channel.download(SNAPSHOT, messages.SnapshotRequest()):
        pass


Call = Callable[[Channel], Coroutine[Any, Any, Any]]

CALLS: dict[str, Call] = {
    "a read": lambda channel: channel.call(RANGE, GET),
    "a write": lambda channel: channel.call(PUT, WRITE),
    "a download": download,
}


async def cancelled(work: Coroutine[Any, Any, Any], message: str | None) -> tuple[Any, ...]:
    """Cancel a task that catches its cancellation; return what it caught."""

    async def catch() -> tuple[Any, ...]:
        try:
            await work
        except asyncio.CancelledError as error:
            return error.args
        return ("it went on",)

    task = asyncio.create_task(catch())
    await asyncio.sleep(0)
    task.cancel() if message is None else task.cancel(message)
    return await asyncio.wait_for(task, HANG)


@pytest.mark.parametrize("message", [WHY, None])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_under_way(call: Call, message: str | None, silent: Silent) -> None:
    caught: list[asyncio.CancelledError] = []

    async def catch(channel: Channel) -> None:
        try:
            await call(channel)
        except asyncio.CancelledError as error:
            caught.append(error)
            raise

    async with Channel(silent.played.endpoint) as channel:
        task = asyncio.create_task(catch(channel))
        await asyncio.wait_for(silent.taken.acquire(), HANG)
        task.cancel() if message is None else task.cancel(message)
        await asyncio.wait([task])
        assert task.cancelled()
        assert [each.args for each in caught] == [() if message is None else (message,)]


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_that_has_just_begun(call: Call, turns: int, silent: Silent) -> None:
    async def catch(channel: Channel) -> tuple[Any, ...]:
        try:
            await call(channel)
        except asyncio.CancelledError as error:
            return error.args
        return ("it went on",)

    async with Channel(silent.played.endpoint) as channel:
        task = asyncio.create_task(catch(channel))
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        task.cancel(WHY)
        assert await asyncio.wait_for(task, HANG) == (WHY,)


async def test_the_first_of_several_cancellations(silent: Silent) -> None:
    async with Channel(silent.played.endpoint) as channel:
        task = asyncio.create_task(channel.call(RANGE, GET))
        await asyncio.wait_for(silent.taken.acquire(), HANG)
        task.cancel(WHY)
        task.cancel("a second one")
        await asyncio.wait([task])
        assert task.cancelled()


async def test_the_search_for_a_member() -> None:
    with socket.socket() as listener:  # which takes connections and says nothing
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        channel = Channel(f"127.0.0.1:{listener.getsockname()[1]}", connect_timeout=HANG)
        assert await cancelled(channel.call(RANGE, GET), WHY) == (WHY,)
        assert await cancelled(channel.connect(), WHY) == (WHY,)
        await channel.close()


async def test_the_wait_for_a_token(silent: Silent) -> None:
    channel = Channel(silent.played.endpoint, username="u", password="p")
    caught: list[Any] = []

    async def catch() -> None:
        try:
            await channel.call(RANGE, GET)
        except asyncio.CancelledError as error:
            caught.extend(error.args)

    task = asyncio.create_task(catch())
    await asyncio.wait_for(silent.taken.acquire(), HANG)
    task.cancel(WHY)
    await asyncio.wait_for(task, HANG)
    await channel.close()
    assert caught == [WHY]


async def test_a_cancellation_is_not_lost_if_the_response_arrives_at_the_same_moment(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    """A task that was cancelled during a call does not continue after it, whatever the moment."""
    request = messages.RangeRequest(key=key_prefix)
    async with Channel(etcd_endpoint) as channel:
        went_on = 0
        for number in range(400):
            task = asyncio.ensure_future(channel.call(RANGE, request))
            waiting = number % 40
            while waiting and not task.done():
                await asyncio.sleep(0)
                waiting -= 1
            if task.cancel(WHY):
                await asyncio.wait([task])
                went_on += not task.cancelled()
        assert went_on == 0


async def test_a_task_that_closes_the_channel_is_not_cancelled_by_it(silent: Silent) -> None:
    channel = Channel(silent.played.endpoint)
    task = asyncio.create_task(channel.call(PUT, WRITE))
    await asyncio.wait_for(silent.taken.acquire(), HANG)
    await channel.close()
    with pytest.raises(ClientClosedError):
        await task
