"""Programs that do the same work by ours and by a peer, each in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

__all__ = ["SIDES", "Worker", "side_by_side"]

PEERS = Path(__file__).parent.parent / "tools" / "peers.py"
SIDES = {"ours": [sys.executable], "aetcd": [sys.executable, str(PEERS), "aetcd"]}


class Worker:
    """A program that is told a line of work, and answers with the seconds that it took."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def work(self, *words: object) -> float:
        self._stdin.write(f"{' '.join(map(str, words))}\n".encode())
        return float(await self._stdout.readline())


@asynccontextmanager
async def side_by_side(script: Path, endpoint: str) -> AsyncIterator[dict[str, Worker]]:
    """Start `script` on an endpoint, by ours and by aetcd; it ends with its input."""
    async with AsyncExitStack() as stack:
        started = {}
        for name, command in SIDES.items():
            process = await asyncio.create_subprocess_exec(
                *(*command, str(script), *endpoint.rsplit(":", 1)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(process.wait)
            assert process.stdin is not None
            stack.callback(process.stdin.close)
            started[name] = Worker(process)
        yield started
