"""An outage is logged by one warning when it begins and one line when it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import pytest
from channel_support import HANG, LEASE_GRANT, RANGE, WATCH
from dns_server import DNSServer

from etcd_channel import SRV, Channel, ClientError, ConnectionFailedError, Rpc
from etcd_channel.errors import ConnectionTimeoutError
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd, messages

GET = messages.RangeRequest(key=b"k")
LOCK: Rpc[Any, Any] = Rpc("/v3lockpb.Lock/Lock", messages.LockRequest, messages.LockResponse)

Lines = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The level and the text of each line that was logged, except for debugging."""
    caplog.set_level(logging.INFO, "etcd_channel")
    return lambda: [(each.levelname, each.getMessage()) for each in caplog.records]


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    async with EtcdServer() as server:
        yield server


class Watcher:
    """A handler of a stream that counts how often it was created and broke."""

    def __init__(self) -> None:
        self.created = 0
        self.broken_by: list[ClientError] = []
        self.news = asyncio.Event()

    def opened(self) -> Iterable[Any]:
        return [messages.WatchRequest(create_request={"key": b"k"})]

    def received(self, response: Any) -> None:
        self.created += 1
        self.news.set()

    def broken(self, error: ClientError) -> None:
        self.broken_by.append(error)
        self.news.set()

    def ended(self, error: ClientError) -> None:
        pass

    async def until(self, condition: Callable[[Watcher], bool]) -> None:
        async def wait() -> None:
            while not condition(self):
                self.news.clear()
                await self.news.wait()

        await asyncio.wait_for(wait(), HANG)


async def test_an_outage_is_one_warning_however_much_fails_and_one_line_at_its_end(
    server: EtcdServer, lines: Lines
) -> None:
    async with Channel(server.endpoint) as channel:
        watchers = [Watcher() for _ in range(5)]
        for watcher in watchers:
            channel.stream(WATCH, watcher)
        for watcher in watchers:
            await watcher.until(lambda it: it.created == 1)
        await server.kill()
        for _ in range(3):
            with pytest.raises(ClientError):
                await channel.call(RANGE, GET, timeout=0.5)
        for watcher in watchers:
            await watcher.until(lambda it: len(it.broken_by) >= 2)
        [(level, text)] = lines()
        assert level == "WARNING"
        assert f"{server.endpoint} is lost, looking for a member that answers: " in text
        await server.start()
        for watcher in watchers:
            await watcher.until(lambda it: it.created == 2)
        await channel.call(RANGE, GET)
        [_, (level, text)] = lines()
        assert level == "INFO"
        assert f"{server.endpoint} answers, " in text
        broken = len(watchers[0].broken_by)
        await server.kill()
        await watchers[0].until(lambda it: len(it.broken_by) > broken)
        assert [level for level, _ in lines()] == ["WARNING", "INFO", "WARNING"], "another outage"


async def test_a_member_that_was_never_reached_is_reported_once(lines: Lines) -> None:
    channel = Channel("127.0.0.1:1,127.0.0.1:2", connect_timeout=1)
    for _ in range(2):
        with pytest.raises((ConnectionFailedError, ConnectionTimeoutError)):
            await channel.call(RANGE, GET)
    await channel.close()
    assert [level for level, _ in lines()] == ["WARNING"]


async def test_the_member_that_is_lost_and_the_next_one_are_named(
    server: EtcdServer, lines: Lines
) -> None:
    async with (
        FaultProxy(server.endpoint) as here,
        FaultProxy(server.endpoint) as there,
        Channel([here.endpoint, there.endpoint]) as channel,
    ):
        if channel.current_endpoint == there.endpoint:
            here, there = there, here
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await watcher.until(lambda it: it.created == 1)
        here.refuse()
        here.cut()
        await watcher.until(lambda it: it.created == 2)
        await channel.call(RANGE, GET)
        [(begins, lost), (ends, found)] = lines()
        assert (begins, ends) == ("WARNING", "INFO")
        assert lost.startswith(f"{here.endpoint} is lost")
        assert found.startswith(f"{there.endpoint} answers")


async def test_a_silent_member_is_an_outage(server: EtcdServer, lines: Lines) -> None:
    async with FaultProxy(server.endpoint) as proxy:
        channel = Channel(proxy.endpoint, keepalive_time=0.2, keepalive_timeout=1.5)
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await watcher.until(lambda it: it.created >= 1)
        # A busy machine may have been silent before.
        before, broken = len(lines()), len(watcher.broken_by)
        proxy.black_hole()
        await watcher.until(lambda it: len(it.broken_by) > broken)
        [text] = [text for level, text in lines()[before:] if level == "WARNING"]
        assert "the member is silent" in text
        await channel.close()


async def test_an_outage_ends_when_the_member_answers_a_probe_that_no_call_waits_for_any_more(
    server: EtcdServer, lines: Lines
) -> None:
    async with FaultProxy(server.endpoint) as proxy:
        channel = Channel(proxy.endpoint, connect_timeout=HANG, keepalive_timeout=0.5)
        await channel.call(RANGE, GET)
        proxy.black_hole()
        while not lines():
            with pytest.raises(ClientError):
                await channel.call(RANGE, GET, timeout=3)
        with pytest.raises(ClientError):
            await channel.call(RANGE, GET, timeout=0.5)
        proxy.heal()

        async def ended() -> None:
            while len(lines()) < 2:  # noqa: ASYNC110  # the log has no event
                await asyncio.sleep(0.02)

        await asyncio.wait_for(ended(), HANG)
        assert [level for level, _ in lines()] == ["WARNING", "INFO"]
        await channel.close()


@pytest.mark.parametrize("words", [None, "not here"])
async def test_a_stream_that_a_member_which_answers_never_serves_is_one_warning(
    words: str | None, lines: Lines
) -> None:
    async def play(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        # Otherwise gRPC may report the failed write of the first request, as an error of its own.
        await anext(requests)
        if words is not None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, words)
        return
        yield  # a generator

    async with (
        PlayedEtcd({WATCH: play}) as played,
        Channel(played.endpoint, connect_timeout=HANG) as channel,
    ):
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await watcher.until(lambda it: len(it.broken_by) >= 6)
        [(level, text)] = lines()
    assert level == "WARNING"
    assert "Watch.Watch: the stream broke, opening it again" in text
    assert (words or "the server ended the stream") in text


async def test_a_stream_without_the_endpoints_of_srv_records_is_one_warning(lines: Lines) -> None:
    async with DNSServer() as dns:  # it knows no records
        channel = Channel(SRV("example.com", nameservers=[dns.address]), connect_timeout=HANG)
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await watcher.until(lambda it: len(it.broken_by) >= 4)
        [(level, text)] = lines()
        await channel.close()
    assert level == "WARNING"
    assert "Watch.Watch: the stream broke, opening it again: no SRV record" in text


async def test_a_call_that_waits_longer_than_its_timeout_is_no_outage(
    server: EtcdServer, lines: Lines
) -> None:
    async with Channel(server.endpoint) as channel:
        for lease in (1, 2):
            await channel.call(LEASE_GRANT, messages.LeaseGrantRequest(ID=lease, TTL=600))
        await channel.call(LOCK, messages.LockRequest(name=b"n", lease=1))
        with pytest.raises(ConnectionTimeoutError):
            await channel.call(LOCK, messages.LockRequest(name=b"n", lease=2), timeout=0.2)
        await channel.call(RANGE, GET)
        assert lines() == []


async def test_a_call_to_one_member_that_is_not_an_endpoint_is_no_outage(
    server: EtcdServer, lines: Lines
) -> None:
    async with Channel(server.endpoint) as channel:
        with pytest.raises(ClientError):
            await channel.call(RANGE, GET, endpoint="127.0.0.1:1", timeout=0.5)
        assert lines() == []


async def test_a_member_that_is_removed_from_the_endpoints_is_no_outage(
    server: EtcdServer, lines: Lines
) -> None:
    async with FaultProxy(server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        await watcher.until(lambda it: it.created == 1)
        channel.set_endpoints(server.endpoint)
        await watcher.until(lambda it: it.created == 2)
        assert lines() == []
