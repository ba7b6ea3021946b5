"""The documented lock and that of aetcd 1.0.0 from the package index exclude each other."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from workspace import ROOT

from etcd_client import Client

pytestmark = pytest.mark.peers

PEER = [sys.executable, str(ROOT / "tools" / "peers.py"), "aetcd"]
PROGRAM = Path(__file__).with_name("reference_lock.py")


class Reference:
    """The other program, which has one lock."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def acquire(self, timeout: float) -> bool:
        return await self._ask(f"acquire {timeout}")

    async def release(self) -> bool:
        return await self._ask("release")

    async def _ask(self, command: str) -> bool:
        self._stdin.write(f"{command}\n".encode())
        await self._stdin.drain()
        answer = await asyncio.wait_for(self._stdout.readline(), 60)
        assert answer in (b"True\n", b"False\n"), answer
        return answer == b"True\n"


@asynccontextmanager
async def started(endpoint: str, key: bytes) -> AsyncIterator[Reference]:
    host, port = endpoint.rsplit(":", 1)
    process = await asyncio.create_subprocess_exec(
        *PEER,
        str(PROGRAM),
        host,
        port,
        key.decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Reference(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 60)


@pytest.mark.usefixtures("reference_environment")
async def test_an_old_program_waits_for_a_lock_of_this_client(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with (
        Client(
            endpoints=etcd_endpoint, connect_wait_timeout=30, keepalive_timeout=30, timeout=60
        ) as client,
        started(etcd_endpoint, key_prefix) as reference,
    ):
        ours = client.lock(key_prefix, ttl=30)
        assert await ours.acquire()
        assert await reference.acquire(0) is False
        waiting = asyncio.create_task(reference.acquire(30))
        assert await ours.release() is True
        assert await waiting is True
        assert await reference.release() is True


@pytest.mark.usefixtures("reference_environment")
async def test_this_client_waits_for_the_lock_of_an_old_program(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with (
        Client(
            endpoints=etcd_endpoint, connect_wait_timeout=30, keepalive_timeout=30, timeout=60
        ) as client,
        started(etcd_endpoint, key_prefix) as reference,
    ):
        assert await reference.acquire(5) is True
        ours = client.lock(key_prefix, ttl=30)
        assert await ours.acquire(timeout=0) is False
        waiting = asyncio.create_task(ours.acquire(timeout=30))
        assert await reference.release() is True
        assert await waiting is True
        assert await reference.acquire(0) is False
        await ours.release()
