"""A cluster that was restored from a snapshot has another history."""

from __future__ import annotations

from pathlib import Path

import pytest
from watch_support import connect, read, until, values, watchers, within

from etcd_testing.plugin import ServerFactory
from etcd_watch import ClusterChangedError


async def test_another_history_raises_and_is_not_mistaken_for_the_old_one(
    etcd_server_factory: ServerFactory, tmp_path: Path
) -> None:
    server, snapshot = etcd_server_factory(), tmp_path / "snapshot"
    async with connect(server.endpoint) as (client, writer, _):
        watch = await client.watch(b"key")
        await writer.put(b"key", b"saved")
        await server.etcdctl("snapshot", "save", str(snapshot))
        await writer.put(b"key", b"lost")
        assert values(await read(watch, 2)) == [b"saved", b"lost"]
        await server.stop()
        await server.restore(snapshot, cluster_token="restored")
        with pytest.raises(ClusterChangedError, match="another cluster"):
            await within(watch.__anext__())
        await until(lambda: watchers(server), lambda count: count == 0)
        async with client.watch(b"key") as anew:
            await writer.put(b"key", b"after")
            assert values(await read(anew, 1)) == [b"after"]


async def test_a_server_that_was_stopped_for_long_has_the_same_history(
    etcd_server_factory: ServerFactory,
) -> None:
    server = etcd_server_factory()
    async with connect(server.endpoint) as (client, writer, _):
        async with client.watch(b"key") as watch:
            await server.restart()
            await writer.put(b"key", b"after")
            assert values(await read(watch, 1)) == [b"after"]
