"""examples/operators_hour.py runs on a cluster of its own and on an existing one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from etcd_client import Client
from etcd_testing import EtcdCluster, EtcdServer

HANG = 100.0
"""The timeout of a test that hangs; nothing is measured by it."""

PROGRAM = Path(__file__).parents[1] / "examples" / "operators_hour.py"
STEPS = ["The members", "Compact", "Defragment", "Snapshot", "Verify", "The hour is over"]


async def run(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


async def test_the_example_runs_on_a_cluster_of_its_own() -> None:
    status, said, complaints = await run()
    assert (status, complaints) == (0, "")
    places = [said.index(step) for step in STEPS]
    assert places == sorted(places)
    assert "all members hold the same" in said
    assert said.count("all members are well") == 3
    for member in ("m0", "m1", "m2"):
        assert f"\n  {member} " in said


async def test_the_example_runs_on_an_existing_cluster(tmp_path: Path) -> None:
    path = tmp_path / "etcd.db"
    # Members that elect no other leader when a busy machine pauses one.
    args = ["--heartbeat-interval=500", "--election-timeout=5000"]
    async with (
        EtcdCluster(3, args=args) as servers,
        Client(
            endpoints=servers.endpoints, connect_wait_timeout=60, keepalive_timeout=60, timeout=60
        ) as client,
    ):
        await client.put(b"key", b"value")
        await client.create_alarm()
        endpoints = ",".join(servers.endpoints)
        status, said, complaints = await run("--endpoints", endpoints, "--snapshot", path)
        assert (status, complaints) == (0, "")
        assert "alarms: NOSPACE of 0" in said
        assert "disarmed the alarm NOSPACE" in said
        assert "there is nothing to forget" in said
        assert await client.list_alarms() == []
    assert os.listdir(tmp_path) == ["etcd.db"]


async def test_the_example_reports_errors(tmp_path: Path) -> None:
    async with EtcdServer() as server:
        arguments = ("--endpoints", server.endpoint, "--snapshot", tmp_path / "no" / "etcd.db")
        status, _, complaints = await run(*arguments)
        assert status == 1
        assert complaints.startswith("It failed: FileNotFoundError: ")
        await server.enable_auth("secret")
        status, _, complaints = await run(*arguments, ETCD_USER="root:wrong")
        assert status == 1
        assert "AuthFailedError" in complaints
        assert "wrong" not in complaints.replace("AuthFailedError", "")
    status, _, complaints = await run("--endpoints", "localhost:1")
    assert status == 2
    assert "--snapshot" in complaints
