"""Cancellation at each await leaves no watch behind, and a cache that others use goes on."""

from __future__ import annotations

import asyncio

from cache_support import connect, until, watchers, within

from etcd_cache import Cache
from etcd_testing import EtcdServer, cancel_everywhere


async def none_is_left(server: EtcdServer) -> None:
    await until(lambda: watchers(server), lambda count: count == 0)


async def test_opening_and_leaving_a_cache(own_server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(own_server.endpoint) as program:
        await program.kv.put(key_prefix, b"1")

        async def use() -> None:
            async with program.cache(key_prefix) as cache:
                await cache.wait_for(lambda cache: cache.get(key_prefix))

        assert await cancel_everywhere(use, lambda: none_is_left(own_server))


async def test_a_watch_from_the_list(own_server: EtcdServer, key_prefix: bytes) -> None:
    async with connect(own_server.endpoint) as program:
        await program.kv.put(key_prefix, b"1")

        async def use() -> None:
            changes = program.caches.watch_from_list(key_prefix)
            try:
                async for _ in changes:
                    break
            finally:
                await changes.aclose()

        assert await cancel_everywhere(use, lambda: none_is_left(own_server))


async def test_catching_up_and_reading_changes(own_server: EtcdServer, key_prefix: bytes) -> None:
    async with (
        connect(own_server.endpoint) as program,
        connect(own_server.endpoint) as other,
        program.cache(key_prefix + b"mine/") as cache,
    ):
        reader = cache.changes()

        async def use() -> None:
            await other.kv.put(key_prefix + b"other", b"")
            await cache.catch_up(linearizable=True)
            put = await other.kv.put(key_prefix + b"mine/1", b"")
            await cache.catch_up(at_least=put.header.revision)
            await anext(reader)

        async def still_follows() -> None:
            await follows(cache, program.kv.put(key_prefix + b"mine/2", b""))
            await until(lambda: watchers(own_server), lambda count: count == 1)

        async def follows(cache: Cache[bytes], writing: object) -> None:
            put = await writing  # type: ignore[misc]  # any put
            await within(cache.catch_up(at_least=put.header.revision))

        assert await cancel_everywhere(use, still_follows, every=5)
        await asyncio.sleep(0)
