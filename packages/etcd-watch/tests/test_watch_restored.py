"""A cluster that was restored from a snapshot: its history is another one."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from watch_support import HANG, connect, read, until, values, watchers, within

from etcd_testing import BinaryNotFoundError, EtcdServer, find_binary
from etcd_testing.plugin import ServerFactory
from etcd_watch import ClusterChangedError


async def restore(server: EtcdServer, snapshot: Path, token: str) -> None:
    """Start a server that was stopped with the data of a snapshot, as an operator would."""
    shutil.rmtree(server.data_dir)
    try:
        program = find_binary("etcdutl")
    except BinaryNotFoundError:
        program = find_binary("etcdctl")  # before 3.5
    process = await asyncio.create_subprocess_exec(
        *(program, "snapshot", "restore", snapshot, f"--data-dir={server.data_dir}"),
        *(f"--name={server.name}", f"--initial-cluster={server.name}={server.peer_url}"),
        *(f"--initial-advertise-peer-urls={server.peer_url}", f"--initial-cluster-token={token}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    output, _ = await asyncio.wait_for(process.communicate(), HANG)
    assert process.returncode == 0, output.decode()
    await server.start()


async def test_another_history_is_raised_and_not_mistaken_for_the_one_before(
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
        await restore(server, snapshot, "restored")
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
