"""Helpers of the tests of the channel: a few RPCs of etcd, and programs in separate processes.

The packages that speak to etcd's services stand above this one, so the RPCs have the messages of
etcd_testing.played.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from etcd_channel import Rpc
from etcd_testing.played import messages

__all__ = [
    "HANG",
    "LEASE_GRANT",
    "PUT",
    "RANGE",
    "SNAPSHOT",
    "STATUS",
    "WATCH",
    "run_program",
]

HANG: Final = 60.0
"""Seconds after which a test has hung; nothing is measured by it."""

# RPCs ----------------------------------------------------------------------------------

RANGE: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.KV/Range", messages.RangeRequest, messages.RangeResponse, repeatable=True
)
PUT: Rpc[Any, Any] = Rpc("/etcdserverpb.KV/Put", messages.PutRequest, messages.PutResponse)
LEASE_GRANT: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Lease/LeaseGrant",
    messages.LeaseGrantRequest,
    messages.LeaseGrantResponse,
    repeatable=True,
)
STATUS: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Maintenance/Status",
    messages.StatusRequest,
    messages.StatusResponse,
    repeatable=True,
)
SNAPSHOT: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Maintenance/Snapshot",
    messages.SnapshotRequest,
    messages.SnapshotResponse,
    repeatable=True,
    unbounded=True,
)
WATCH: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Watch/Watch", messages.WatchRequest, messages.WatchResponse, duplex=True
)

# Programs --------------------------------------------------------------------------------


# In debug mode asyncio logs which step of a task was slow, and on a busy machine any step is.
_WITHOUT_SLOW_STEPS = """
import logging
logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Executing "))
"""


async def run_program(
    source: str,
    *arguments: str,
    options: tuple[str, ...] = ("-X", "dev", "-W", "error"),
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end, by default as strict as Python can be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *options,
        "-c",
        _WITHOUT_SLOW_STEPS + source,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return subprocess.CompletedProcess(
        list(arguments), process.returncode, stdout.decode(), stderr.decode()
    )
