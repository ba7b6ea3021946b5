"""Progress of a watch: sent by the server at intervals, or on request."""

from __future__ import annotations

import asyncio

import pytest
from watch_support import connect, read_responses, until, values, watchers, within

from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.plugin import ServerFactory


@pytest.fixture
def talkative(etcd_server_factory: ServerFactory) -> EtcdServer:
    """A server that sends progress ten times a second instead of every ten minutes."""
    server = etcd_server_factory()
    if server.version.startswith("3.4."):
        pytest.skip("etcd 3.4 cannot be told how often to notify")
    return etcd_server_factory(args=["--experimental-watch-progress-notify-interval=100ms"])


async def test_progress_is_delivered_to_a_watch_that_asked_for_it(talkative: EtcdServer) -> None:
    async with connect(talkative.endpoint) as (client, writer, _):
        async with client.watch(b"k", progress_notify=True) as watch:
            last = await writer.put(b"other")
            first, second = await read_responses(watch, 2)
            assert first.is_progress
            assert second.is_progress
            while second.header.revision < last:
                (second,) = await read_responses(watch, 1)
            assert second.header.revision == last


async def test_progress_is_not_delivered_to_other_watches(talkative: EtcdServer) -> None:
    async with connect(talkative.endpoint) as (client, writer, _):
        async with client.watch(b"k") as quiet, client.watch(b"k", progress_notify=True) as watch:
            await read_responses(watch, 3)
            await writer.put(b"k", b"told")
            (response,) = await read_responses(quiet, 1)
            assert values(response.events) == [b"told"]


async def test_the_iterator_of_events_has_no_progress(talkative: EtcdServer) -> None:
    async with connect(talkative.endpoint) as (client, writer, _):
        async with client.watch(b"k", progress_notify=True) as watch:
            async with client.watch(b"k", progress_notify=True) as other:
                reader = asyncio.ensure_future(watch.__anext__())
                await read_responses(other, 3)
                await writer.put(b"k", b"told")
                assert (await within(reader)).kv.value == b"told"


async def test_unread_progress_does_not_accumulate(talkative: EtcdServer) -> None:
    async with connect(talkative.endpoint) as (client, writer, _):
        async with client.watch(b"k", progress_notify=True) as unread:
            async with client.watch(b"k", progress_notify=True) as watch:
                await read_responses(watch, 4)
            await writer.put(b"k", b"told")
            async for event in unread:
                assert event.kv.value == b"told"
                break
            responses = unread.responses()
            assert (await within(responses.__anext__())).is_progress


# On request --------------------------------------------------------------------------------


async def test_progress_that_was_asked_for_is_one_of_the_responses(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix) as watch:
            last = await writer.put(key_prefix + b"other")
            await watch.request_progress()
            (response,) = await read_responses(watch, 1)
            assert response.is_progress
            assert response.header.revision >= last


async def test_every_request_has_an_answer(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        async with client.watch(key_prefix) as watch:
            for _ in range(3):
                await watch.request_progress()
            assert all(response.is_progress for response in await read_responses(watch, 3))


async def test_a_request_creates_a_watch_that_is_not_created_yet(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        watch = client.watch(key_prefix)
        await within(watch.request_progress())
        (response,) = await read_responses(watch, 1)
        assert response.header.revision >= watch.start_revision - 1
        await watch.cancel()


async def test_other_watches_on_the_stream_get_no_progress(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, writer, _):
        async with client.watch(key_prefix) as asking, client.watch(key_prefix) as other:
            await asking.request_progress()
            await read_responses(asking, 1)
            await writer.put(key_prefix, b"told")
            (response,) = await read_responses(other, 1)
            assert not response.is_progress


async def test_a_request_is_answered_over_a_break(server: EtcdServer, key_prefix: bytes) -> None:
    async with FaultProxy(server.endpoint) as proxy, connect(proxy.endpoint) as (client, _, _):
        async with client.watch(key_prefix) as watch:
            proxy.black_hole()
            await watch.request_progress()
            proxy.cut()
            proxy.heal()
            (response,) = await read_responses(watch, 1)
            assert response.is_progress
    await until(lambda: watchers(server), lambda count: count == 0)


async def test_a_request_is_answered_in_a_store_without_writes(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    # Since 3.5.22 a server does not answer while a watch starts at a future revision, as every
    # watch of a store without writes does after a break.
    async with connect(etcd_endpoint) as (client, writer, _):
        last = await writer.put(key_prefix)
        async with client.watch(key_prefix, start_revision=last + 1) as watch:
            for _ in range(2):
                await watch.request_progress()
                (response,) = await read_responses(watch, 1)
                assert response.is_progress
                assert response.header.revision == last


async def test_a_request_is_answered_when_the_watch_has_caught_up(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    # Servers since 3.4.25 and 3.5.8 do not answer while a watch of the stream lags behind; and this
    # one is parked repeatedly.
    async with connect(etcd_endpoint) as (client, writer, _):
        start = await writer.put(key_prefix, b"0")
        for number in range(1, 20):
            await writer.put(key_prefix, b"%d" % number)
        async with client.watch(key_prefix, start_revision=start, buffer_bytes=200) as watch:
            await watch.request_progress()
            events, progress = 0, 0
            async for response in watch.responses():
                events += len(response.events)
                if response.is_progress:
                    progress = response.header.revision
                if progress and events == 20:
                    break
            assert progress >= start
