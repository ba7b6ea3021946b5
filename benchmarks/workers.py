"""Programs that read tasks from stdin, a line each, and answer each with a line of numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from settings import command_of

__all__ = ["Worker", "started", "started_for"]

LIMIT = 300.0
"""Seconds that one task may take."""


class Worker:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def work(self, *words: object) -> float:
        """Send a task and return the first number of its answer, most often seconds."""
        return (await self.numbers(*words))[0]

    async def numbers(self, *words: object) -> list[float]:
        """Send a task and return its answer; RuntimeError if the program ended."""
        self._stdin.write(("\t".join(map(str, words)) + "\n").encode())
        line = await asyncio.wait_for(self._stdout.readline(), LIMIT)
        if not line:
            raise RuntimeError("the process that does the work ended; it has said why on stderr")
        return [float(word) for word in line.split()]


@asynccontextmanager
async def started(*command: str) -> AsyncIterator[Worker]:
    """Start a program; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Worker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def started_for(
    clients: Iterable[str], script: Path, *arguments: str
) -> AsyncIterator[dict[str, Worker]]:
    """Start a script once for each client, in that client's environment."""
    async with AsyncExitStack() as stack:
        yield {
            client: await stack.enter_async_context(
                started(*command_of(client), str(script), *arguments)
            )
            for client in clients
        }
