"""However often a task is cancelled, no process, no directory and no port of it is left."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from etcd_testing import (
    EtcdCluster,
    EtcdServer,
    FaultProxy,
    cancel_everywhere,
)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Seen:
    """The processes and directories of servers, which are to be gone."""

    def __init__(self) -> None:
        self._servers: list[EtcdServer] = []
        self._directories: list[Path] = []
        self._processes: list[int] = []

    def made(self, server: EtcdServer) -> EtcdServer:
        self._servers.append(server)
        self._directories.append(server.directory)
        return server

    def runs(self, server: EtcdServer) -> None:
        assert server.pid is not None
        self._processes.append(server.pid)

    async def nothing_is_left(self) -> None:
        left = [directory for directory in self._directories if directory.exists()]
        assert left == []
        assert [server.pid for server in self._servers if server.running] == []
        assert [pid for pid in self._processes if is_there(pid)] == []
        for seen in (self._servers, self._directories, self._processes):
            seen.clear()


async def test_a_block_that_a_server_is_for() -> None:
    seen = Seen()

    async def work() -> None:
        async with seen.made(EtcdServer()) as server:
            seen.runs(server)
            await asyncio.sleep(0)

    assert await cancel_everywhere(work, seen.nothing_is_left, every=97)


async def test_stopping_and_closing_a_server() -> None:
    seen = Seen()
    server = seen.made(EtcdServer())
    await server.start()

    async def stop() -> None:
        await server.stop()

    async def close() -> None:
        await server.close()

    async def started_anew() -> None:
        assert not server.running
        await server.start()

    async def made_anew() -> None:
        nonlocal server
        await seen.nothing_is_left()
        server = seen.made(EtcdServer())
        await server.start()

    assert await cancel_everywhere(stop, started_anew, every=17)
    assert await cancel_everywhere(close, made_anew, every=17)
    await server.close()


async def test_a_block_that_a_cluster_is_for() -> None:
    seen = Seen()

    async def work() -> None:
        cluster = EtcdCluster(2, peer_proxies=True)
        for member in cluster.members:
            seen.made(member)
        async with cluster:
            for member in cluster.members:
                seen.runs(member)

    assert await cancel_everywhere(work, seen.nothing_is_left, every=31)


async def test_a_block_that_a_proxy_is_for(etcd_server: EtcdServer) -> None:
    made: list[FaultProxy] = []

    async def work() -> None:
        made.append(FaultProxy(etcd_server.endpoint))
        async with made[-1] as proxy:
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.close()

    async def its_port_is_free() -> None:
        assert made[-1].counters.open == 0
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", made[-1].port))

    assert await cancel_everywhere(work, its_port_is_free)


async def test_a_command_of_etcdctl(etcd_server: EtcdServer) -> None:
    async def get() -> str:
        return await etcd_server.etcdctl("get", "key")

    async def it_serves() -> None:
        assert await etcd_server.healthy(timeout=60)

    assert await cancel_everywhere(get, it_serves, every=13)


async def test_leaving_a_session_of_etcdctl(etcd_server: EtcdServer, key_prefix: bytes) -> None:
    session = etcd_server.etcdctl_session("lock", key_prefix.decode())
    locked = asyncio.Event()

    async def work() -> None:
        async with session:
            await session.line()
            locked.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    waiting = asyncio.create_task(locked.wait())
    # If the session fails, its error is the result of the test.
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not session.running
