"""`watch_once` waits for one event, at most for its timeout, and leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from watch_support import HANG, connect, until, watchers, within

from etcd_channel import ConnectionFailedError, ConnectionTimeoutError
from etcd_testing import EtcdServer, FaultProxy
from etcd_watch import Event, EventKind, WatchTimeoutError


async def nobody_watches(server: EtcdServer) -> None:
    await until(lambda: watchers(server), lambda count: count == 0)


async def test_it_returns_the_first_event(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        once = asyncio.ensure_future(client.watch_once(key_prefix))
        await until(lambda: watchers(server), lambda count: count == 1)
        await writer.put(key_prefix, b"1")
        await writer.put(key_prefix, b"2")
        event = await within(once)
        assert isinstance(event, Event)
        assert event.kv.value == b"1"
        await nobody_watches(server)


async def test_it_returns_an_event_of_the_past(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        start = await writer.put(key_prefix, b"1")
        await writer.delete(key_prefix)
        event = await client.watch_once(
            key_prefix, start_revision=start, kind=EventKind.DELETE, prev_kv=True
        )
        assert event.kind is EventKind.DELETE
        assert event.prev_kv is not None
        await nobody_watches(server)


async def test_of_a_prefix_it_returns_the_first_event_of_any_key(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        start = await writer.put(key_prefix + b"\xff", b"1")
        event = await client.watch_prefix_once(key_prefix, 5, start_revision=start)
        assert event.kv.key == key_prefix + b"\xff"
        await nobody_watches(server)


@pytest.mark.parametrize("timeout", [1, 0.1])
async def test_it_raises_when_no_event_comes_in_time(
    server: EtcdServer, key_prefix: bytes, timeout: float
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        with pytest.raises(WatchTimeoutError, match=f"no event came within {timeout} s"):
            await within(client.watch_once(key_prefix, timeout))
        with pytest.raises(WatchTimeoutError):
            await within(client.watch_prefix_once(key_prefix, timeout=timeout))
        await nobody_watches(server)


async def test_a_timeout_of_0_does_not_wait_for_an_event(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, _, _):
        for call in (client.watch_once, client.watch_prefix_once):
            for nothing in (0, 0.0, -1):
                with pytest.raises(WatchTimeoutError, match="there was no event"):
                    await within(call(key_prefix, nothing))
        await nobody_watches(server)


async def test_a_timeout_of_0_does_not_wait_for_a_member_that_does_not_answer() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy:
        proxy.black_hole()
        async with connect(proxy.endpoint, timeout=0.3) as (client, _, _):
            with pytest.raises(WatchTimeoutError, match=r"not created within 0\.3 s"):
                await within(client.watch_once(b"k", timeout=0))


async def test_it_raises_in_time_also_if_no_member_answers() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy:
        async with connect(proxy.endpoint, connect_timeout=0.1) as (client, _, _):
            with pytest.raises(WatchTimeoutError, match="no event came within 5 s") as caught:
                await within(client.watch_once(b"k", timeout=5))
    assert isinstance(caught.value.__cause__, (ConnectionFailedError, ConnectionTimeoutError))


async def test_the_creation_of_a_watch_takes_no_longer_than_its_timeout() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy:
        proxy.black_hole()
        async with connect(proxy.endpoint) as (client, _, _):
            watch = client.watch(b"k", timeout=0.2)
            for _ in range(2):
                with pytest.raises(WatchTimeoutError, match=r"not created within 0\.2 s"):
                    _ = await within(watch)
            with pytest.raises(WatchTimeoutError):
                await within(watch.__anext__())
        async with connect(proxy.endpoint, timeout=0.3) as (client, _, _):
            with pytest.raises(WatchTimeoutError, match=r"not created within 0\.3 s"):
                await within(client.watch(b"k").__anext__())


async def test_a_created_watch_waits_for_events_without_limit(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with (
        connect(server.endpoint, timeout=3) as (client, _, _),
        connect(server.endpoint, keepalive_timeout=HANG) as (_, writer, _),
    ):
        async with client.watch(key_prefix) as watch:
            reader = asyncio.ensure_future(watch.__anext__())
            await asyncio.wait([reader], timeout=3.5)
            await writer.put(key_prefix, b"late")
            assert (await within(reader)).kv.value == b"late"


@pytest.mark.parametrize("turns", range(16))
async def test_cancellation_leaves_no_watcher(
    server: EtcdServer, key_prefix: bytes, turns: int
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        once = asyncio.ensure_future(client.watch_once(key_prefix, timeout=30))
        if turns > 10:
            await until(lambda: watchers(server), lambda count: count == 1)
            put = asyncio.ensure_future(writer.put(key_prefix))
        else:
            put = asyncio.ensure_future(asyncio.sleep(0, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        once.cancel()
        await asyncio.wait([once, put])
        assert once.cancelled() or isinstance(once.result(), Event)
        await nobody_watches(server)


async def test_a_timeout_of_the_caller_holds_too(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, _, _):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.watch_once(key_prefix, timeout=30), 0.1)
        await nobody_watches(server)
