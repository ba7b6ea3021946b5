"""`set_endpoints` replaces the endpoints without breaking calls in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

import pytest
from channel_support import HANG, PUT, SNAPSHOT, STATUS, WATCH

from etcd_channel import TLS, Channel, ClientClosedError, ClientError, ConnectionFailedError
from etcd_channel._retry import CallRetry
from etcd_channel.deadline import Deadline
from etcd_channel.observer import Observer
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.played import messages


class Two(NamedTuple):
    """Two servers of separate clusters, the first one behind a proxy that counts connections."""

    first: EtcdServer
    proxy: FaultProxy
    second: EtcdServer

    @property
    def here(self) -> str:
        return self.proxy.endpoint

    @property
    def there(self) -> str:
        return self.second.endpoint

    async def all_closed(self) -> None:
        await self.proxy.until(lambda counters: counters.open == 0, timeout=HANG)


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    async with (
        EtcdServer() as first,
        FaultProxy(first.endpoint) as proxy,
        EtcdServer() as second,
    ):
        yield Two(first, proxy, second)


async def answering(channel: Channel, endpoint: str | None = None) -> int:
    """Return the id of the member that answers."""
    response = await channel.call(STATUS, messages.StatusRequest(), endpoint=endpoint)
    member_id: int = response.header.member_id
    return member_id


async def test_calls_go_to_the_new_endpoints_and_the_old_connection_is_closed(two: Two) -> None:
    async with Channel(two.here) as channel:
        before = await answering(channel)
        channel.set_endpoints([two.there])
        assert channel.endpoints == (two.there,)
        after = await answering(channel)
        assert after != before
        await two.all_closed()


async def test_endpoints_are_replaced_before_the_first_call(two: Two) -> None:
    channel = Channel(two.here)
    channel.set_endpoints(f"{two.there}, {two.there}")
    assert channel.endpoints == (two.there,)
    await channel.connect()
    assert two.proxy.counters.accepted == 0
    await channel.close()


async def test_the_member_in_use_stays_in_use(two: Two) -> None:
    async with Channel(two.here) as channel:
        member = await answering(channel)
        for endpoints in ([two.there, two.here], [two.here, two.there], [two.here]):
            channel.set_endpoints(endpoints)
            assert await answering(channel) == member
        assert two.proxy.counters.accepted == 1, "its connection was not made again"


async def test_a_member_used_by_its_endpoint_keeps_its_connection(two: Two) -> None:
    async with Channel(two.there) as channel:
        member = await answering(channel, two.here)
        channel.set_endpoints(f"http://{two.here}")
        assert await answering(channel) == member
        assert two.proxy.counters.accepted == 1


async def test_a_call_in_flight_ends_on_the_member_where_it_started(two: Two) -> None:
    async with Channel(two.here, timeout=HANG, keepalive_timeout=HANG) as channel:
        await answering(channel)
        two.proxy.black_hole("to_client")
        put = asyncio.create_task(channel.call(PUT, messages.PutRequest(key=b"key", value=b"1")))
        await _arrived(two.first)
        channel.set_endpoints([two.there])
        await answering(channel)
        assert two.proxy.counters.open == 1
        assert not put.done()
        two.proxy.heal()
        response = await asyncio.wait_for(put, HANG)
        assert response.header.member_id == await answering(channel, two.first.endpoint)
        await two.all_closed()


async def _arrived(server: EtcdServer) -> None:
    while True:
        if (await server.etcdctl("get", "key", "--keys-only")).strip():
            return


async def test_a_download_in_flight_continues(two: Two) -> None:
    async with Channel(two.here) as channel:
        for number in range(3):
            key = b"%d" % number
            await channel.call(PUT, messages.PutRequest(key=key, value=bytes(1 << 20)))
        download = channel.download(SNAPSHOT, messages.SnapshotRequest())
        first = await download.__anext__()
        channel.set_endpoints([two.there])
        await answering(channel)
        size = len(first.blob)
        async for response in download:
            size += len(response.blob)
        assert size > 3 << 20
        await two.all_closed()


class Watcher:
    """Keeps the events of a stream, and wakes waiting tasks."""

    def __init__(self) -> None:
        self.members: list[int] = []
        self.broken_by: list[ClientError] = []
        self.news = asyncio.Event()

    def opened(self) -> Iterable[Any]:
        return [messages.WatchRequest(create_request={"key": b"key"})]

    def received(self, response: Any) -> None:
        self.members.append(response.header.member_id)
        self.news.set()

    def broken(self, error: ClientError) -> None:
        self.broken_by.append(error)

    def ended(self, error: ClientError) -> None:
        pass

    async def next(self) -> int:
        await asyncio.wait_for(self.news.wait(), HANG)
        self.news.clear()
        return self.members[-1]


async def test_a_stream_moves_to_another_member(two: Two) -> None:
    async with Channel(two.here) as channel:
        watcher = Watcher()
        channel.stream(WATCH, watcher)
        before = await watcher.next()
        channel.set_endpoints([two.here, two.there])
        assert not watcher.broken_by, "its member is still there"
        channel.set_endpoints([two.there])
        assert await watcher.next() != before
        assert [error.endpoint for error in watcher.broken_by] == [two.here]
        assert channel.reconnects == 1
        await two.all_closed()


async def test_a_call_that_searches_for_a_member_uses_the_new_endpoints(two: Two) -> None:
    two.proxy.refuse()
    channel = Channel(two.here, connect_timeout=HANG)
    call = asyncio.create_task(answering(channel))
    await asyncio.sleep(0)
    channel.set_endpoints([two.there])
    assert await asyncio.wait_for(call, HANG) == await answering(channel)
    await channel.close()


async def test_close_ends_calls_at_a_removed_endpoint(two: Two) -> None:
    channel = Channel(two.here, timeout=HANG, keepalive_timeout=HANG)
    await answering(channel)
    two.proxy.black_hole("to_client")
    call = asyncio.create_task(answering(channel))
    await asyncio.sleep(0)
    channel.set_endpoints([two.there])
    await answering(channel)
    await channel.close()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(call, HANG)


@pytest.mark.parametrize(
    ("endpoints", "error", "match"),
    [
        ([], ValueError, "endpoints must not be empty"),
        (["localhost:port"], ValueError, "port"),
        (["http://localhost:1"], ValueError, "does not use TLS"),
        ([1], TypeError, "endpoint must be a str"),
        (1, TypeError, "endpoints must be a str or a sequence"),
    ],
)
async def test_invalid_endpoints_change_nothing(
    endpoints: Any, error: type[Exception], match: str
) -> None:
    channel = Channel("localhost:1", tls=TLS())
    with pytest.raises(error, match=match):
        channel.set_endpoints(endpoints)
    assert channel.endpoints == ("localhost:1",)


async def test_a_closed_channel_refuses_new_endpoints() -> None:
    channel = Channel("localhost:1")
    await channel.close()
    with pytest.raises(ClientClosedError):
        channel.set_endpoints(["localhost:2"])


async def test_a_call_pauses_after_each_round_of_the_members_that_there_are_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = Channel([f"127.0.0.1:{port}" for port in range(1, 5)])
    pauses = 0

    async def pause(seconds: float) -> None:
        nonlocal pauses
        pauses += 1

    monkeypatch.setattr(channel._pool, "pause", pause)
    retry = CallRetry(STATUS, channel._pool, None, None, Deadline.after(None), Observer())
    channel.set_endpoints("127.0.0.1:1")
    for _ in range(3):
        assert await retry.next_attempt(ConnectionFailedError("gone", definite=True), 0)
    assert pauses == 3
