"""A cache follows a cluster that was restored from a backup, and tells what is different."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_support import HANG, connect, content, replayed, same_as_etcd, within

from etcd_channel import ConnectionFailedError, ConnectionTimeoutError
from etcd_testing import EtcdServer, FaultProxy


async def test_another_history_is_taken_over(own_server: EtcdServer, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    async with connect(own_server.endpoint) as program:
        await program.kv.put(b"k/kept", b"saved")
        await program.kv.put(b"k/changed", b"saved")
        await program.kv.put(b"k/deleted", b"saved")
        await own_server.etcdctl("snapshot", "save", str(snapshot))
        await program.kv.put(b"k/changed", b"lost")
        await program.kv.delete(b"k/deleted")
        put = await program.kv.put(b"k/new", b"lost")
        async with program.cache(b"k/") as cache:
            before, reader = content(cache), cache.changes()
            assert len(before) == 3
            await own_server.stop()
            await own_server.restore(snapshot, cluster_token="other")
            await within(cache.wait_for(lambda cache: cache.get(b"k/deleted")))
            assert cache.revision < put.header.revision
            async with connect(own_server.endpoint) as direct:
                await same_as_etcd(cache, direct.kv)
                changes = [await within(anext(reader)) for _ in range(4)]
                assert all(change.from_list for change in changes)
                assert replayed(before, changes) == content(cache)
                await direct.kv.put(b"k/after", b"1")
            change = await within(anext(reader))
            assert (change.key, change.from_list) == (b"k/after", False)


async def test_a_linearizable_catch_up_does_not_return_the_content_of_the_old_history(
    own_server: EtcdServer, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot"
    async with connect(own_server.endpoint) as program:
        await program.kv.put(b"k/key", b"saved")
        await own_server.etcdctl("snapshot", "save", str(snapshot))
        for _ in range(5):
            await program.kv.put(b"k/key", b"lost")
        async with program.cache(b"k/") as cache:
            await own_server.stop()
            await own_server.restore(snapshot, cluster_token="other")
            await cache.catch_up(linearizable=True, timeout=HANG)
            assert content(cache)[b"k/key"][0] == b"saved"


async def test_a_cache_without_a_server_does_not_begin(own_server: EtcdServer) -> None:
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        connect(proxy.endpoint, connect_timeout=2) as program,
    ):
        proxy.refuse()
        with pytest.raises((ConnectionFailedError, ConnectionTimeoutError)):
            async with program.cache(b"k/"):
                pass
        proxy.heal()
        async with program.cache(b"k/") as cache:
            assert len(cache) == 0
