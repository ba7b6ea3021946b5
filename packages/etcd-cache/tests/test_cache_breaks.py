"""After breaks of all kinds a cache equals etcd, and its changes lead to its content."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from cache_support import (
    HANG,
    Content,
    connect,
    content,
    kill,
    replayed,
    same_as_etcd,
    until,
    watchers,
    within,
)

from etcd_cache import Cache, CacheChange
from etcd_channel import ClientError
from etcd_channel.errors import PermissionDeniedError
from etcd_kv import KVClient
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy
from etcd_testing.plugin import ClusterFactory


class Recorder:
    """Reads all changes of a cache, and looks at its revision after each."""

    def __init__(self, cache: Cache[Any]) -> None:
        self._cache = cache
        self._first = content(cache)
        self._reader = cache.changes()
        self.changes: list[CacheChange[Any]] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        last = 0
        async for change in self._reader:
            self.changes.append(change)
            assert self._cache.revision >= last, "the cache went back in time"
            last = self._cache.revision

    async def replayed(self) -> Content:
        """Wait until all changes are read, and apply them to the first content."""
        expected = content(self._cache)
        await until(self._replay, lambda found: found == expected)
        assert not self._task.done() or self._task.result() is None
        return await self._replay()

    async def _replay(self) -> Content:
        return replayed(self._first, self.changes)


async def write(kv: KVClient, prefix: bytes, number: int) -> None:
    """Put, or delete, one of fifty keys; again if that fails, as during an election."""
    key = prefix + b"%d" % (number * 7 % 50)

    async def attempts() -> None:
        while True:
            with contextlib.suppress(ClientError):
                await (kv.delete(key) if number % 5 == 4 else kv.put(key, b"%d" % number))
                return

    await within(attempts())


async def test_a_hundred_cuts_and_a_compaction(own_server: EtcdServer, key_prefix: bytes) -> None:
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        connect(own_server.endpoint) as direct,
        connect(proxy.endpoint) as program,
    ):
        for number in range(30):
            await direct.kv.put(key_prefix + b"%d" % number, b"first")
        async with program.cache(key_prefix) as cache:
            recorder = Recorder(cache)
            number = 0
            for cut in range(100):
                for _ in range(5):
                    await write(direct.kv, key_prefix, number)
                    number += 1
                if cut == 60:
                    # The events are gone when the watch is resumed.
                    proxy.refuse()
                    proxy.cut()
                    await until(lambda: watchers(own_server), lambda count: count == 0)
                    for _ in range(50):
                        await write(direct.kv, key_prefix, number)
                        number += 1
                    last = await direct.kv.put(key_prefix + b"last", b"")
                    await direct.kv.compact(last.header.revision, physical=True)
                    proxy.heal()
                proxy.cut()
                await asyncio.sleep(0.01)
            assert program.channel.reconnects
            await until(_trouble(cache), lambda trouble: trouble is None)
            assert await same_as_etcd(cache, direct.kv)
            assert await recorder.replayed() == content(cache)
            assert cache.lists == 2
            assert any(change.from_list for change in recorder.changes)


async def test_a_compaction_between_the_list_and_the_watch_is_survived(
    own_server: EtcdServer, key_prefix: bytes
) -> None:
    async with connect(own_server.endpoint) as direct, connect(own_server.endpoint) as program:
        await direct.kv.put_many([(key_prefix + b"%d" % n, b"v" * 50) for n in range(500)])
        compacting = asyncio.create_task(_compact_all_the_time(direct.kv, key_prefix))
        try:
            for _ in range(5):
                async with program.caches.cache(key_prefix, page_bytes=4000) as cache:
                    assert len(cache) == 500
        finally:
            compacting.cancel()
            await asyncio.wait([compacting])


async def _compact_all_the_time(kv: KVClient, prefix: bytes) -> None:
    # Not for ever: on a slow machine a cache would list its keys again and again.
    for _ in range(15):
        put = await kv.put(prefix + b"0", b"")
        await kv.compact(put.header.revision)
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_restart_of_the_server(own_server: EtcdServer, key_prefix: bytes, how: str) -> None:
    async with connect(own_server.endpoint) as program:
        await program.kv.put(key_prefix + b"0", b"first")
        async with program.cache(key_prefix) as cache:
            recorder = Recorder(cache)
            for turn in range(3):
                async with connect(own_server.endpoint) as direct:
                    for number in range(20 * turn, 20 * turn + 20):
                        await write(direct.kv, key_prefix, number)
                await (kill(own_server) if how == "kill" else own_server.stop())
                # It still answers, with what it has.
                assert len(cache) == len(cache.items())
                await own_server.start()
            async with connect(own_server.endpoint) as direct:
                await within(_until_it_answers(direct.kv))
                assert await same_as_etcd(cache, direct.kv)
            assert await recorder.replayed() == content(cache)


async def _until_it_answers(kv: KVClient) -> None:
    while True:
        with contextlib.suppress(ClientError):
            await kv.get(b"k")
            return


async def test_the_end_of_a_permission_ends_the_cache(own_server: EtcdServer) -> None:
    await own_server.enable_auth()
    await own_server.etcdctl("user", "add", "reader:pw", user="root:root")
    await own_server.etcdctl("role", "add", "reading", user="root:root")
    grant = ("role", "grant-permission", "reading", "--prefix=true", "read", "k/")
    await own_server.etcdctl(*grant, user="root:root")
    await own_server.etcdctl("user", "grant-role", "reader", "reading", user="root:root")
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        connect(proxy.endpoint, username="reader", password="pw") as program,
    ):
        with pytest.raises(PermissionDeniedError):
            async with program.cache(b"other/"):
                pass
        async with program.cache(b"k/") as cache:
            await cache.catch_up(linearizable=True, timeout=HANG)
            revoke = ("user", "revoke-role", "reader", "reading")
            await own_server.etcdctl(*revoke, user="root:root")
            proxy.cut()
            with pytest.raises(PermissionDeniedError):
                await within(cache.wait_for(lambda cache: False))
            with pytest.raises(PermissionDeniedError):
                cache.get(b"k/1")
            with pytest.raises(PermissionDeniedError):
                cache.changes()


# Clusters ----------------------------------------------------------------------------------


async def test_a_member_that_lags_behind_does_not_take_the_cache_back(
    etcd_cluster_factory: ClusterFactory, key_prefix: bytes
) -> None:
    # No election whenever the machine stands still for a moment: it would fail a write.
    args = ["--heartbeat-interval=500", "--election-timeout=5000"]
    cluster: EtcdCluster = etcd_cluster_factory(3, args=args)
    leader = await cluster.leader()
    sleepy, _ = await cluster.followers()
    async with (
        FaultProxy(leader.endpoint) as proxy,
        connect(leader.endpoint) as direct,
        connect(proxy.endpoint) as program,
    ):
        await direct.kv.put(key_prefix + b"0", b"first")
        async with program.cache(key_prefix) as cache:
            recorder = Recorder(cache)
            for turn in range(4):
                # It sleeps while the others go on, and the cache has just moved to it as it wakes.
                await sleepy.pause()
                for number in range(20 * turn, 20 * turn + 20):
                    await write(direct.kv, key_prefix, number)
                broken = program.channel.reconnects
                proxy.upstream = sleepy.endpoint
                proxy.cut()
                await until(_reconnects(program.channel), lambda count, n=broken: count > n)  # type: ignore[misc]  # mypy cannot infer it
                await sleepy.resume()
                await until(lambda: watchers(sleepy), lambda count: count == 1)
                await same_as_etcd(cache, direct.kv)
                proxy.upstream = leader.endpoint
                proxy.cut()
                await until(lambda: watchers(leader), lambda count: count == 1)
            assert await same_as_etcd(cache, direct.kv)
            assert await recorder.replayed() == content(cache)
            assert not any(change.from_list for change in recorder.changes)


def _trouble(cache: Cache[Any]) -> Callable[[], Any]:
    async def ask() -> Any:
        return cache.trouble

    return ask


def _reconnects(channel: Any) -> Callable[[], Any]:
    async def ask() -> int:
        count: int = channel.reconnects
        return count

    return ask
