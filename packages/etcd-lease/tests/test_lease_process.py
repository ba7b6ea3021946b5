"""Leases in a process of its own, which is stopped, or writes nothing to stderr."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lease_support import is_there, until

from etcd_lease import LeaseClient

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

STOPPED = """
import asyncio, signal, sys
from etcd_channel import Channel
from etcd_lease import LeaseClient

async def main():
    async with Channel(sys.argv[1]) as channel:
        lease = await LeaseClient(channel).lease(8, keep_alive=True)
        # Runs before the event loop does, when the process continues.
        signal.signal(signal.SIGCONT, lambda *_: print("on waking", lease.is_lost, flush=True))
        print(lease.id, flush=True)
        error = await lease.lost
        print("waited", error.lease_id == lease.id, lease.is_lost, flush=True)

asyncio.run(main())
"""

SILENT = """
import asyncio, sys
from etcd_channel import Channel
from etcd_lease import LeaseClient, LeaseExpiredError

async def short_lease(client):
    while True:
        try:
            return await client.lease(1)
        except LeaseExpiredError:
            pass  # its answer took longer

async def main():
    # In debug mode asyncio writes to stderr when a busy machine makes a callback slow.
    asyncio.get_running_loop().slow_callback_duration = 1000
    async with Channel(sys.argv[1]) as channel:
        client = LeaseClient(channel)
        async with client.lease(20, keep_alive=True) as lease:
            lost = asyncio.ensure_future(lease.lost)
            other = await short_lease(client)
            await other.lost
            assert other.is_lost and not lease.is_lost
        await lost
        task = asyncio.create_task(client.lease(60))
        await asyncio.sleep(0)
        task.cancel()
        await client.lease(60, keep_alive=True)
    print("done")

asyncio.run(main(), debug=True)
"""


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[Process]:
    """Run a Python program with warnings as errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_stopped_process_sees_its_lease_lost_as_soon_as_it_continues(
    client: LeaseClient, etcd_endpoint: str
) -> None:
    async with program("-c", STOPPED, etcd_endpoint) as process:
        assert process.stdout is not None
        lease_id = int(await asyncio.wait_for(process.stdout.readline(), HANG))
        process.send_signal(signal.SIGSTOP)
        await until(lambda: is_there(client, lease_id), False)
        process.send_signal(signal.SIGCONT)
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
        assert stdout.decode().splitlines() == ["on waking True", "waited True True"]
        assert stderr == b""


async def test_nothing_is_written_to_stderr(etcd_endpoint: str) -> None:
    async with program("-X", "dev", "-c", SILENT, etcd_endpoint) as process:
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
        assert (stdout, stderr) == (b"done\n", b"")
