"""Repeated cancellation of a task leaves no watch on the server."""

from __future__ import annotations

from contextlib import suppress

from watch_support import connect, until, watchers

from etcd_channel import Channel
from etcd_testing import EtcdServer, cancel_everywhere
from etcd_watch import Event, Watch, Watcher, WatchTimeoutError


async def test_beginning_a_watch(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, _, _):

        async def begin() -> Watch:
            return await client.watch(key_prefix)

        assert await cancel_everywhere(
            begin, lambda: none_is_left(server), undo=lambda watch: watch.cancel()
        )


async def test_a_block_that_a_watch_is_for(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, writer, _):

        async def work() -> Event:
            async with client.watch_prefix(key_prefix) as watch:
                await writer.put(key_prefix, b"value")
                return await watch.__anext__()

        assert await cancel_everywhere(work, lambda: none_is_left(server))


async def test_waiting_for_one_event(server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(server.endpoint) as (client, _, _):

        async def wait() -> None:
            with suppress(WatchTimeoutError):
                await client.watch_once(key_prefix, timeout=0.005)

        assert await cancel_everywhere(wait, lambda: none_is_left(server))


async def test_shutting_a_watcher_down(server: EtcdServer, key_prefix: bytes) -> None:
    async with Channel(server.endpoint) as channel:
        watcher = Watcher(channel)
        await watcher.add_callback(key_prefix, print)

        async def shut_down() -> None:
            await watcher.shutdown()

        async def added_anew() -> None:
            await none_is_left(server)
            await watcher.add_callback(key_prefix, print)

        assert await cancel_everywhere(shut_down, added_anew)
        await watcher.shutdown()


async def none_is_left(server: EtcdServer) -> None:
    await until(lambda: watchers(server), lambda count: count == 0)
