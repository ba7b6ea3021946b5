"""Helpers of the cluster tests: keys to fill a database, and etcd's snapshot tool."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from etcd_testing import BinaryNotFoundError, EtcdServer, find_binary

__all__ = ["HANG", "PATIENT", "fill", "snapshot_tool"]

HANG: Final = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

PATIENT: Final[dict[str, Any]] = {"connect_timeout": 30, "keepalive_timeout": 30, "timeout": 60}
"""Arguments of a channel whose calls do not fail if the machine stands still for seconds."""


async def fill(server: EtcdServer, megabytes: int = 6, *, key: str = "big") -> None:
    """Put some large values, so that a snapshot is larger than all buffers in between."""
    for number in range(megabytes):
        await server.etcdctl("put", f"{key}/{number}", stdin="x" * (1 << 20))


async def snapshot_tool(*arguments: str | os.PathLike[str]) -> str:
    """Run etcd's `snapshot …` command: by etcdutl, or by etcdctl before etcd 3.5."""
    try:
        program = find_binary("etcdutl")
    except BinaryNotFoundError:
        program = find_binary("etcdctl")
    process = await asyncio.create_subprocess_exec(
        program,
        "snapshot",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()
