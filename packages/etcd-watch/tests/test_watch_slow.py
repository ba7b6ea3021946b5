"""The watch of a slow reader is parked: it loses nothing, and no other watch waits."""

from __future__ import annotations

import asyncio

import pytest
from watch_support import connect, read, read_responses, until, values, watchers, within

from etcd_channel import Channel, ClientClosedError
from etcd_testing import EtcdServer, FaultProxy

VALUE = bytes(1000)


async def test_a_watch_with_a_slow_reader_is_canceled_on_the_server(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        async with client.watch(key_prefix, buffer_bytes=3000) as watch:
            revisions = [await writer.put(key_prefix, VALUE) for _ in range(3)]
            await until(lambda: watchers(server), lambda count: count == 0)
            revisions += [await writer.put(key_prefix, VALUE) for _ in range(7)]
            await read(watch, 1)
            assert await watchers(server) == 0
            events = await read(watch, 9)
            assert [event.kv.mod_revision for event in events] == revisions[1:]
            await until(lambda: watchers(server), lambda count: count == 1)


async def test_a_slow_reader_gets_everything_and_others_do_not_wait(
    server: EtcdServer, key_prefix: bytes
) -> None:
    count = 2000
    async with connect(server.endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix, buffer_bytes=10_000) as slow:
            async with client.watch_prefix(key_prefix) as fast:
                for number in range(0, count, 20):
                    await writer.put_together(
                        *((key_prefix + b"%d" % i, b"%d" % (number + i)) for i in range(20))
                    )
                # The slow one has read nothing yet.
                expected = [b"%d" % number for number in range(count)]
                assert values(await read(fast, count)) == expected
                assert values(await read(slow, count)) == expected


async def test_revisions_are_not_split_by_parking(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        async with client.watch_prefix(key_prefix, buffer_bytes=1) as watch:
            for _ in range(20):
                await writer.put_together(*((key_prefix + b"%d" % i, VALUE) for i in range(5)))
            seen = 0
            async for response in watch.responses():
                assert len(response.events) % 5 == 0
                assert len({event.kv.mod_revision for event in response.events}) * 5 == len(
                    response.events
                )
                seen += len(response.events)
                if seen == 100:
                    break


async def test_a_parked_watch_outlives_breaks(server: EtcdServer, key_prefix: bytes) -> None:
    async with FaultProxy(server.endpoint) as proxy:
        async with (
            connect(server.endpoint) as (_, writer, _),
            connect(proxy.endpoint) as (client, _, channel),
        ):
            async with client.watch(key_prefix, buffer_bytes=2000) as watch:
                for number in range(10):
                    await writer.put(key_prefix, b"%04d" % number + VALUE)
                    if number in (3, 6):
                        proxy.cut()
                        await _one_more_reconnect(channel)
                        async with client.watch(b"to see that the stream is open"):
                            pass
                assert [value[:4] for value in values(await read(watch, 10))] == [
                    b"%04d" % number for number in range(10)
                ]


async def _one_more_reconnect(channel: Channel) -> None:
    before = channel.reconnects

    async def count() -> int:
        return channel.reconnects - before

    await until(count, lambda more: more > 0)


async def test_a_parked_watch_can_be_canceled(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        watch = await client.watch(key_prefix, buffer_bytes=1)
        await writer.put(key_prefix)
        await until(lambda: watchers(server), lambda count: count == 0)
        await watch.cancel()
        with pytest.raises(StopAsyncIteration):
            await watch.__anext__()
        assert await watchers(server) == 0


async def test_unread_events_are_read_before_the_error_of_a_closed_channel(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        watch = await client.watch_prefix(key_prefix)
        await writer.put_together((key_prefix + b"1", b"1"), (key_prefix + b"2", b"2"))
        assert values(await read(watch, 1)) == [b"1"]
    assert values(await read(watch, 1)) == [b"2"]
    with pytest.raises(ClientClosedError):
        await watch.__anext__()


async def test_a_large_past_is_sent_in_parts(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        start = await writer.put(key_prefix, bytes(100_000))
        for _ in range(49):
            await writer.put(key_prefix, bytes(100_000))
        # With fragments of 1.5 MiB, memory holds the bound and one fragment, not all five.
        async with client.watch(
            key_prefix, start_revision=start, fragment=True, buffer_bytes=1_000_000
        ) as watch:
            (first,) = await read_responses(watch, 1)
            assert len(first.events) < 25
            rest = 50 - len(first.events)
            assert len(await read(watch, rest)) == rest
            reader = asyncio.ensure_future(watch.__anext__())
            last = await writer.put(key_prefix, b"last")
            assert (await within(reader)).kv.mod_revision == last
