"""Silent connections: lost on the network, or to a frozen member."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, WATCH

from etcd_channel import Channel, ConnectionTimeoutError, Reconnect
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd, messages
from etcd_testing.plugin import ServerFactory

GET = messages.RangeRequest(key=b"k")
WRITE = messages.PutRequest(key=b"k", value=b"v")

# Seconds, short so that the tests are; how soon it is noticed, benchmarks/failover.py measures.
SOON = 0.3


class Watcher:
    """Watches one key from the first revision on, and keeps what it hears.

    However often it is opened again, it hears of each write.
    """

    def __init__(self) -> None:
        self.opened_again: asyncio.Queue[int] = asyncio.Queue()
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.end: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def opened(self) -> list[Any]:
        return [messages.WatchRequest(create_request={"key": b"k", "start_revision": 1})]

    def received(self, response: Any) -> None:
        if response.created:
            self.opened_again.put_nowait(1)
        for event in response.events:
            self.events.put_nowait(event)

    def broken(self, error: Exception) -> None:
        pass

    def ended(self, error: Exception) -> None:
        self.end.set_result(error)


@pytest.fixture
def etcd(etcd_server_factory: ServerFactory) -> EtcdServer:
    return etcd_server_factory()


@pytest.fixture
async def proxy(etcd: EtcdServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(etcd.endpoint) as proxy:
        yield proxy


def patient(endpoint: str | list[str], answer_within: float = 1.0, **options: Any) -> Channel:
    """A channel that probes early, and leaves a busy machine time to answer."""
    return Channel(endpoint, keepalive_time=SOON, keepalive_timeout=answer_within, **options)


async def test_a_read_is_sent_again_on_a_new_connection_if_the_old_one_was_lost(
    proxy: FaultProxy,
) -> None:
    async with patient(proxy.endpoint) as channel:
        await channel.call(RANGE, GET)
        proxy.forget()
        await channel.call(RANGE, GET, timeout=HANG)


async def test_by_default_a_read_has_time_for_a_second_connection(proxy: FaultProxy) -> None:
    async with Channel(proxy.endpoint) as channel:
        await channel.call(RANGE, GET)
        proxy.forget()
        await channel.call(RANGE, GET)


async def test_a_write_to_a_silent_member_ends_early_and_is_not_definite(proxy: FaultProxy) -> None:
    async with patient(proxy.endpoint) as channel:
        await channel.call(RANGE, GET, timeout=HANG)
        proxy.forget()
        with pytest.raises(ConnectionTimeoutError, match="the member is silent") as caught:
            await channel.call(PUT, WRITE, timeout=100 * HANG)
        assert not caught.value.definite
        await channel.call(RANGE, GET, timeout=HANG)


async def test_a_stream_on_a_lost_connection_is_opened_again(
    etcd: EtcdServer, proxy: FaultProxy
) -> None:
    breaks: list[Reconnect] = []
    async with patient(proxy.endpoint, on_reconnect=breaks.append) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        proxy.forget()
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        async with Channel(etcd.endpoint) as direct:
            await direct.call(PUT, WRITE)
        event = await asyncio.wait_for(watcher.events.get(), HANG)
        assert event.kv.key == b"k"
        assert not watcher.end.done()
    assert {type(each.error) for each in breaks} == {ConnectionTimeoutError}


async def test_a_failed_call_makes_the_streams_of_the_channel_check_their_connections(
    proxy: FaultProxy,
) -> None:
    # The stream itself would be probed only after the test.
    async with Channel(proxy.endpoint, keepalive_time=100 * HANG) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        proxy.forget()
        await channel.call(RANGE, GET, timeout=HANG)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        assert not watcher.end.done()


async def test_a_call_that_times_out_early_makes_the_streams_check_too(proxy: FaultProxy) -> None:
    async with Channel(proxy.endpoint, keepalive_time=100 * HANG) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        proxy.forget()
        with pytest.raises(ConnectionTimeoutError):
            await channel.call(PUT, WRITE, timeout=0.1)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)


async def test_everything_on_a_frozen_member_moves_to_another(
    etcd: EtcdServer, proxy: FaultProxy
) -> None:
    async with FaultProxy(etcd.endpoint) as other, patient([proxy.endpoint]) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        await channel.call(RANGE, GET)
        proxy.black_hole()
        channel.set_endpoints([proxy.endpoint, other.endpoint])
        writing = asyncio.create_task(channel.call(PUT, WRITE, timeout=100 * HANG))
        await channel.call(RANGE, GET, timeout=HANG)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        with pytest.raises(ConnectionTimeoutError) as caught:
            await asyncio.wait_for(writing, HANG)
        assert not caught.value.definite


async def test_a_slow_member_that_answers_the_probe_is_not_given_up() -> None:
    """UNIMPLEMENTED is an answer to a probe, too."""
    asked = asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        await asyncio.sleep(8 * SOON)
        return messages.RangeResponse(count=7)

    async def watch(requests: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in requests:
            yield messages.WatchResponse(created=True)
            asked.set()

    async with PlayedEtcd({RANGE: slow, WATCH: watch}) as played:
        breaks: list[Reconnect] = []
        async with patient(played.endpoint, HANG, on_reconnect=breaks.append) as channel:
            channel.stream(WATCH, Watcher())
            await asyncio.wait_for(asked.wait(), HANG)
            assert (await channel.call(RANGE, GET)).count == 7
        assert not breaks
        assert played.calls["KV.Range"] == 1


async def test_late_answers_on_a_slow_link_extend_the_probe_timeout(
    proxy: FaultProxy,
) -> None:
    """A late answer gives later probes more time."""
    breaks: list[Reconnect] = []
    async with patient(
        proxy.endpoint, SOON, connect_timeout=HANG, on_reconnect=breaks.append
    ) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        proxy.delay(2 * SOON)
        await channel.call(RANGE, GET, timeout=HANG)
        for _ in range(10):  # a busy machine may take longer than a write waits
            with contextlib.suppress(ConnectionTimeoutError):
                await channel.call(PUT, WRITE, timeout=HANG)
                break
        await asyncio.wait_for(watcher.events.get(), HANG)
    assert len(breaks) < 10


async def until_given_up(connection: Any, holds: Callable[[int], bool]) -> None:
    while not holds(len(connection._given_up)):  # noqa: ASYNC110  # nothing tells it
        await asyncio.sleep(0.01)


async def test_a_freeze_extends_the_probe_timeout_once_though_each_transport_has_a_late_answer(
    etcd: EtcdServer,
) -> None:
    async with patient(etcd.endpoint, SOON, connect_timeout=HANG) as channel:
        connection = channel._pool.current
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        now = asyncio.get_running_loop().time
        begun = now()
        await etcd.pause()
        call = asyncio.create_task(channel.call(RANGE, GET, timeout=HANG))
        try:
            await asyncio.wait_for(until_given_up(connection, lambda it: it >= 2), HANG)
            await asyncio.sleep(2.0)
        finally:
            await etcd.resume()
        await call
        # Each had its late answer.
        await asyncio.wait_for(until_given_up(connection, lambda it: it == 0), HANG)
        # Twice the time of the answer that was late; a probe may have been on its way before.
        assert SOON < connection._probe_timeout(now()) <= 2 * (now() - begun + SOON + 0.5)


async def test_a_download_that_becomes_silent_ends_with_an_error_that_is_not_definite(
    proxy: FaultProxy,
) -> None:
    async def snapshot(request: Any, context: Any) -> AsyncIterator[Any]:
        yield messages.SnapshotResponse(blob=b"first")
        await asyncio.Event().wait()

    async with PlayedEtcd({SNAPSHOT: snapshot}) as played:
        proxy.upstream = played.endpoint
        async with patient(proxy.endpoint) as channel:
            blobs = channel.download(SNAPSHOT, messages.SnapshotRequest())
            assert (await blobs.__anext__()).blob == b"first"
            proxy.forget()
            with pytest.raises(ConnectionTimeoutError) as caught:
                await asyncio.wait_for(blobs.__anext__(), HANG)
            assert not caught.value.definite


async def test_a_download_is_checked_again_when_its_reader_continues(
    proxy: FaultProxy,
) -> None:
    async def snapshot(request: Any, context: Any) -> AsyncIterator[Any]:
        yield messages.SnapshotResponse(blob=b"first")
        await asyncio.Event().wait()

    async with PlayedEtcd({SNAPSHOT: snapshot}) as played:
        proxy.upstream = played.endpoint
        async with patient(proxy.endpoint) as channel:
            blobs = channel.download(SNAPSHOT, messages.SnapshotRequest())
            await blobs.__anext__()
            await asyncio.sleep(3 * SOON)  # in which no call is in flight
            proxy.forget()
            with pytest.raises(ConnectionTimeoutError):
                await asyncio.wait_for(blobs.__anext__(), HANG)


async def test_a_stream_whose_connection_is_closed_is_opened_again(
    etcd: EtcdServer,
) -> None:
    async with Channel(etcd.endpoint) as channel:
        watcher = Watcher()
        stream = channel.stream(WATCH, watcher)
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        channel.set_endpoints([f"http://{etcd.endpoint.replace('127.0.0.1', 'localhost')}"])
        await asyncio.wait_for(watcher.opened_again.get(), HANG)
        assert not stream.ended


@pytest.mark.parametrize("name", ["keepalive_time", "keepalive_timeout"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), "1", None, True])
def test_the_times_are_positive_numbers_of_seconds(name: str, value: Any) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises((TypeError, ValueError), match=name):
        Channel(**options)


async def test_an_idle_connection_is_not_pinged(proxy: FaultProxy) -> None:
    async with patient(proxy.endpoint) as channel:
        await channel.call(RANGE, GET)
        # gRPC still says something of windows after the first answer, late on a busy machine.
        for _ in range(10):
            before = proxy.counters.to_server
            await asyncio.sleep(5 * SOON)
            if proxy.counters.to_server == before:
                return
        raise AssertionError("it is never quiet")
