"""Closing a channel: calls end, and no task or connection is left."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any

import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, WATCH

from etcd_channel import (
    Channel,
    ClientClosedError,
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
)
from etcd_channel._pool import ConnectionPool
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing.played import PlayedEtcd, messages

GET = messages.RangeRequest(key=b"k")


@pytest.fixture
def silent() -> Iterable[str]:
    """An address that accepts connections and never sends anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class Slow:
    """A server that accepts calls and does not answer them."""

    def __init__(self) -> None:
        self.taken = asyncio.Semaphore(0)
        self.never = asyncio.Event()
        self.played = PlayedEtcd({PUT: self._take, RANGE: self._take, SNAPSHOT: self._stream})

    async def _take(self, request: Any, context: Any) -> Any:
        self.taken.release()
        await self.never.wait()

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield messages.SnapshotResponse(blob=b"first")
        self.taken.release()
        await self.never.wait()


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    server = Slow()
    async with server.played:
        yield server


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> list[BaseException | None]:
    """Return how tasks ended; a cancelled task ended with CancelledError."""
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
    return [result if isinstance(result, BaseException) else None for result in results]


async def download(channel: Channel) -> None:
    async for _ in channel.download(SNAPSHOT, messages.SnapshotRequest()):
        pass


# Before and after ----------------------------------------------------------------------


async def test_a_channel_that_was_never_used_closes() -> None:
    channel = Channel("nowhere.invalid:1")
    assert not channel.closed
    await channel.close()
    assert channel.closed
    await channel.close()
    assert repr(channel) == "Channel(nowhere.invalid:1, closed)"


async def test_nothing_is_bound_or_opened_before_the_first_call(etcd_endpoint: str) -> None:
    made_elsewhere: list[Channel] = []
    await asyncio.to_thread(lambda: made_elsewhere.append(Channel(etcd_endpoint)))
    async with made_elsewhere[0] as channel:
        await channel.call(RANGE, GET)


async def test_every_use_of_a_closed_channel_raises_an_error(etcd_endpoint: str) -> None:
    channel = Channel(etcd_endpoint)
    await channel.call(RANGE, GET)
    await channel.close()
    for use in (
        channel.call(RANGE, GET),
        channel.download(SNAPSHOT, messages.SnapshotRequest()).__anext__(),
        channel.connect(),
        channel.__aenter__(),
    ):
        with pytest.raises(ClientClosedError, match="the client is closed") as caught:
            await use
        assert caught.value.definite
    with pytest.raises(ClientClosedError, match="the client is closed"):
        channel.stream(WATCH, NoHandler())
    await channel.close()
    assert channel.closed


class NoHandler:
    def opened(self) -> Iterable[Any]:
        return ()

    def received(self, response: Any) -> None: ...

    def broken(self, error: ClientError) -> None: ...

    def ended(self, error: ClientError) -> None: ...


async def test_concurrent_closes_all_wait_for_the_end(slow: Slow) -> None:
    channel = Channel(slow.played.endpoint)
    call = asyncio.create_task(channel.call(RANGE, GET))
    await slow.taken.acquire()
    await asyncio.gather(*(channel.close() for _ in range(5)))
    assert channel.closed
    (error,) = await ended([call])
    assert isinstance(error, ClientClosedError)


async def test_a_failed_async_with_leaves_nothing_open() -> None:
    channel = Channel("127.0.0.1:1", connect_timeout=2)
    with pytest.raises((ConnectionFailedError, ConnectionTimeoutError)):
        async with channel:
            pytest.fail("the body runs with no server")
    assert channel.closed
    del channel
    gc.collect()  # a ResourceWarning would be an error here


# During calls --------------------------------------------------------------------------


async def test_calls_in_flight_end_with_an_error_that_is_not_definite(slow: Slow) -> None:
    channel = Channel(slow.played.endpoint)
    work: list[Coroutine[Any, Any, Any]] = [
        channel.call(PUT, messages.PutRequest(key=b"k")),
        channel.call(RANGE, GET),
        download(channel),
    ]
    tasks = [asyncio.create_task(one) for one in work]
    for _ in tasks:
        await slow.taken.acquire()
    await channel.close()
    errors = await ended(tasks)
    for error in errors:
        assert isinstance(error, ClientClosedError)
        assert not error.definite
    assert "KV.Put" in str(errors[0])


async def test_close_ends_calls_that_search_for_a_member(silent: str) -> None:
    channel = Channel(silent, connect_timeout=HANG, timeout=HANG)
    work: list[Coroutine[Any, Any, Any]] = [
        channel.call(PUT, messages.PutRequest(key=b"k")),
        channel.connect(),
        download(channel),
    ]
    tasks = [asyncio.create_task(one) for one in work]
    await asyncio.sleep(0.05)
    await channel.close()
    for error in await ended(tasks):
        assert isinstance(error, ClientClosedError)
        assert error.definite


async def test_close_ends_calls_that_pause_between_attempts() -> None:
    channel = Channel("127.0.0.1:1", connect_timeout=HANG, timeout=HANG)
    tasks = [asyncio.create_task(channel.call(RANGE, GET)) for _ in range(8)]
    await asyncio.sleep(0.3)
    await channel.close()
    for error in await ended(tasks):
        assert isinstance(error, ClientClosedError)


async def test_close_ends_calls_that_wait_for_a_token(slow: Slow) -> None:
    async with PlayedEtcd({AUTHENTICATE: slow._take}) as server:
        channel = Channel(server.endpoint, username="root", password="secret")
        work: list[Coroutine[Any, Any, Any]] = [
            channel.call(RANGE, GET),
            channel.connect(),
            download(channel),
        ]
        tasks = [asyncio.create_task(one) for one in work]
        await slow.taken.acquire()
        await channel.close()
        for error in await ended(tasks):
            assert isinstance(error, ClientClosedError)
        assert server.calls["Auth.Authenticate"] == 1


async def test_a_call_that_is_cancelled_is_cancelled_and_leaves_the_channel_alone(
    slow: Slow,
) -> None:
    channel = Channel(slow.played.endpoint)
    call = asyncio.create_task(channel.call(PUT, messages.PutRequest(key=b"k")))
    await slow.taken.acquire()
    call.cancel()
    (error,) = await ended([call])
    assert isinstance(error, asyncio.CancelledError)
    slow.never.set()
    again = asyncio.create_task(channel.call(PUT, messages.PutRequest(key=b"k")))
    await slow.taken.acquire()
    await channel.close()
    await ended([again])


async def test_a_task_that_is_cancelled_while_the_channel_closes_is_cancelled(slow: Slow) -> None:
    channel = Channel(slow.played.endpoint)
    call = asyncio.create_task(channel.call(PUT, messages.PutRequest(key=b"k")))
    await slow.taken.acquire()
    call.cancel()
    await channel.close()
    (error,) = await ended([call])
    assert isinstance(error, asyncio.CancelledError)


async def test_a_call_that_is_cancelled_during_a_dial_does_not_disturb_the_others(
    etcd_endpoint: str,
) -> None:
    channel = Channel(etcd_endpoint)
    first, second = (asyncio.create_task(channel.call(RANGE, GET)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert isinstance((await ended([first]))[0], asyncio.CancelledError)
    assert await ended([second]) == [None]
    await channel.close()


async def test_a_call_that_is_cancelled_waiting_for_a_token_does_not_disturb_the_others() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def authenticate(request: Any, context: Any) -> Any:
        asked.set()
        await go_on.wait()
        return pb.AuthenticateResponse(token="t")

    async def get(request: Any, context: Any) -> Any:
        return messages.RangeResponse(count=1)

    async with PlayedEtcd({AUTHENTICATE: authenticate, RANGE: get}) as server:
        async with Channel(server.endpoint) as probe:
            assert (await probe.call(RANGE, GET)).count == 1
        channel = Channel(server.endpoint, username="root", password="secret")
        first, second = (asyncio.create_task(channel.call(RANGE, GET)) for _ in range(2))
        await asyncio.wait_for(asked.wait(), HANG)
        first.cancel()
        assert isinstance((await ended([first]))[0], asyncio.CancelledError)
        go_on.set()
        assert await ended([second]) == [None]
        assert server.calls["Auth.Authenticate"] == 1
        await channel.close()


async def test_a_cancelled_close_still_closes(slow: Slow) -> None:
    channel = Channel(slow.played.endpoint)
    call = asyncio.create_task(channel.call(RANGE, GET))
    await slow.taken.acquire()
    channel.run_in_background(slow.never.wait())
    closing = asyncio.create_task(channel.close())
    await asyncio.sleep(0)
    closing.cancel()
    assert isinstance((await ended([closing]))[0], asyncio.CancelledError)
    assert isinstance((await ended([call]))[0], ClientClosedError)
    assert channel.closed
    await channel.close()


async def test_a_channel_can_be_closed_at_any_moment(etcd_endpoint: str) -> None:
    """Closed after each number of loop iterations that connecting and calling take."""
    for turns in range(60):
        channel = Channel(etcd_endpoint)
        tasks = [asyncio.create_task(channel.call(RANGE, GET)) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await channel.close()
        for error in await ended(tasks):
            assert error is None or isinstance(error, ClientClosedError)


async def test_a_call_that_had_its_connection_when_the_channel_was_closed_ends_as_closed(
    etcd_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a dial wakes its waiters later: the channel may be closed before they run."""
    connect = ConnectionPool.connect

    async def connect_and_close(pool: ConnectionPool, *arguments: Any) -> Any:
        connection = await connect(pool, *arguments)
        await pool.close()
        return connection

    monkeypatch.setattr(ConnectionPool, "connect", connect_and_close)
    async with Channel(etcd_endpoint) as channel:
        with pytest.raises(ClientClosedError) as raised:
            await channel.call(RANGE, GET)
        assert raised.value.definite
    async with Channel(etcd_endpoint) as channel:
        with pytest.raises(ClientClosedError):
            await channel.download(SNAPSHOT, messages.SnapshotRequest()).__anext__()


async def test_a_call_can_be_cancelled_at_any_moment(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as steady:
        await steady.call(RANGE, GET)
        for turns in range(60):
            channel = Channel(etcd_endpoint)
            task = asyncio.create_task(channel.call(RANGE, GET))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            (error,) = await ended([task])
            assert error is None or isinstance(error, asyncio.CancelledError)
            await channel.call(RANGE, GET)
            await channel.close()
