"""Runs the programs in examples/ as their users do, each as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from etcd_client import Client

EXAMPLES = Path(__file__).parents[2] / "examples"
HANG = 100.0
"""The timeout of a test that hangs; nothing is measured by it."""

PATIENT: Final[dict[str, Any]] = {
    "connect_wait_timeout": 30,
    "keepalive_timeout": 30,
    "timeout": 60,
}
"""Arguments of a client whose calls do not fail if the machine stands still for seconds."""


class Example:
    """A program that runs, and what it has said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def until(self, *words: str) -> str:
        """Read until a line has all of these words; return it."""
        while True:
            line = await self._line()
            assert line is not None, f"it ended before it said {words}: {self.lines}"
            if all(word in line for word in words):
                return line

    async def status(self) -> int:
        """Read to the end; return the exit status."""
        while await self._line() is not None:
            pass
        return await asyncio.wait_for(self._process.wait(), HANG)

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def _line(self) -> str | None:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), HANG)
        if not line:
            return None
        self.lines.append(line.decode().rstrip("\n"))
        return self.lines[-1]


@contextlib.asynccontextmanager
async def running(
    program: str, *arguments: str | Path, stderr: str = "", prefix: bytes, **environment: str
) -> AsyncIterator[Example]:
    """Start a program with its keys under the prefix.

    At the end of the block it must have ended, and all processes that it started, and `stderr` is
    all that it may have written there.
    """
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", EXAMPLES / program, f"--prefix={prefix.decode()}"),
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=complaints,
            env={**os.environ, **environment},
        )
        try:
            yield Example(process)
            assert process.returncode is not None, "it has not ended"
            complaints.seek(0)
            said = complaints.read().decode()
            assert said == stderr, said
            assert processes_of(prefix) == []
        finally:
            for number in processes_of(prefix):
                os.kill(number, signal.SIGKILL)
            await process.wait()


def processes_of(prefix: bytes) -> list[int]:
    """The ids of the processes that were started with this prefix, where /proc tells."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if b"--prefix=" + prefix in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
    return found


async def nothing_is_left(client: Client, prefix: bytes) -> bool:
    """Return whether no key is left; wait for the end of the leases of killed processes."""

    async def until_no_lease() -> None:
        while await client.leases():  # noqa: ASYNC110  # leases cannot be watched
            await asyncio.sleep(0.05)

    await asyncio.wait_for(until_no_lease(), HANG)
    return (await client.get_prefix(prefix, count_only=True)).count == 0
