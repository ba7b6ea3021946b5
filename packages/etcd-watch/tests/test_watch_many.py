"""Many watches are spread over streams, and all are created again after a break."""

from __future__ import annotations

import asyncio

from watch_support import connect, read, streams, until, values, watchers, within

from etcd_testing import EtcdServer, FaultProxy


async def test_more_watches_than_one_stream_holds_are_spread(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        watches = [await client.watch(key_prefix) for _ in range(64)]
        assert await streams(server) == 1
        watches += [await client.watch(key_prefix) for _ in range(66)]
        assert await streams(server) == 3
        await writer.put(key_prefix, b"told")
        for watch in watches:
            assert values(await read(watch, 1)) == [b"told"]
        for watch in watches:
            await watch.cancel()
        await until(lambda: watchers(server), lambda count: count == 0)
        await until(lambda: streams(server), lambda count: count == 1)


async def test_all_of_many_watches_are_created_again_after_a_break(
    server: EtcdServer, key_prefix: bytes
) -> None:
    count = 500
    keys = [key_prefix + b"%d" % number for number in range(count)]
    async with FaultProxy(server.endpoint) as proxy:
        async with (
            connect(server.endpoint) as (_, writer, _),
            connect(proxy.endpoint) as (
                client,
                _,
                _,
            ),
        ):
            watches = await within(
                asyncio.gather(*(client.watch(key).__aenter__() for key in keys))
            )
            assert await watchers(server) == count
            assert await streams(server) == 8
            for _ in range(2):
                proxy.cut()
                for number in range(0, count, 100):
                    await writer.put_together(*((key, key) for key in keys[number : number + 100]))
                for key, watch in zip(keys, watches, strict=True):
                    assert values(await read(watch, 1)) == [key]
                await until(lambda: watchers(server), lambda found: found == count)
    await until(lambda: streams(server), lambda found: found == 0)


async def test_watches_that_ended_leave_one_stream(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):
        for _ in range(30):
            async with client.watch(key_prefix) as watch:
                await writer.put(key_prefix)
                await read(watch, 1)
        assert await streams(server) == 1
        await until(lambda: watchers(server), lambda count: count == 0)
