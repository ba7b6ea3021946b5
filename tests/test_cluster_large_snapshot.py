"""A snapshot of 200 MB is saved with little memory and restored to a server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from etcd_client import Client
from etcd_testing import BinaryNotFoundError, EtcdServer, find_binary

HANG = 100.0
"""The timeout of a test that hangs; nothing is measured by it."""

PATIENT: dict[str, Any] = {"connect_wait_timeout": 60, "keepalive_timeout": 60, "timeout": 60}

MEGABYTE = 1 << 20

# In a separate process, to measure its memory.
TAKE = """
import asyncio, json, sys
from etcd_client import Client

def memory(field):
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) * 1024

async def main(endpoint, path):
    patient = {"connect_wait_timeout": 60, "keepalive_timeout": 60, "timeout": 60}
    async with Client(endpoints=endpoint, **patient) as client:
        await client.status()
        before = memory("VmRSS:")
        taken = await client.snapshot(path)
        print(json.dumps({"size": taken.size, "growth": memory("VmHWM:") - before}))

asyncio.run(main(*sys.argv[1:]))
"""


async def run(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


def snapshot_program() -> Path:
    try:
        return find_binary("etcdutl")
    except BinaryNotFoundError:  # it came with etcd 3.5
        return find_binary("etcdctl")


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only /proc has the peak of this process alone: ru_maxrss begins with its parent's",
)
async def test_200_megabytes_pass_through_32_and_are_restored(tmp_path: Path) -> None:
    path, data_dir = tmp_path / "etcd.db", tmp_path / "data"
    async with EtcdServer(quota_backend_bytes=1 << 30) as server:
        async with Client(endpoints=server.endpoint, **PATIENT) as client:
            value = os.urandom(MEGABYTE)
            for number in range(200):
                await client.put(b"big/%03d" % number, value)
        taken = json.loads(await run(sys.executable, "-c", TAKE, server.endpoint, path))
    assert taken["size"] > 200 * MEGABYTE
    assert taken["growth"] < 32 * MEGABYTE

    tool = snapshot_program()
    report = json.loads(await run(tool, "snapshot", "status", path, "--write-out=json"))
    assert report["revision"] == 201
    restored = EtcdServer(data_dir=data_dir, quota_backend_bytes=1 << 30)
    try:
        await restored.restore(path)
        async with Client(endpoints=restored.endpoint, **PATIENT) as client:
            assert (await client.get_prefix(b"big/", count_only=True)).count == 200
            found = await client.get(b"big/199")
    finally:
        await restored.close()
    assert found is not None
    assert found.value == value
