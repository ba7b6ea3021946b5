"""The same program on aetcd and on this client, at the same time, on one cluster under faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from programme.connecting import connected
from programme.found import Judged
from programme.history import History, record_of
from programme.injector import injector
from programme.judges import judge_all
from programme.recorder import Clock
from programme.truth import Truth

__all__ = ["CLIENTS", "OURS", "ROWS", "Measured", "measure"]

_HOME = Path(__file__).resolve().parent.parent
_PEERS = _HOME.parents[1] / "tools" / "peers.py"
OURS = "this client"
CLIENTS: dict[str, tuple[str, ...]] = {
    OURS: (sys.executable,),
    "aetcd 1.0.0": (sys.executable, str(_PEERS), "aetcd"),
}
"""The Python of each client's environment; both have the module aetcd."""
ROWS: dict[str, tuple[str, ...]] = {
    "T1": ("SIGKILL",),
    "T4": ("SIGKILL", "SIGSTOP", "black hole", "partition", "forget"),
}
_CATCH_UP = 10.0
"""Seconds that the watches have after the last fault."""
_END = 120.0
_LINE = 1 << 26


@dataclass
class Measured:
    """What one client did in one row."""

    row: str
    client: str
    judged: Judged
    reopened: int
    """How often a watch ended by an error, and the program opened it again."""

    @property
    def longest_gap(self) -> float:
        """The longest time that a client did not get a write through, in seconds."""
        longest = 0.0
        operations = self.judged.history.operations
        for client in {each.client for each in operations}:
            served = 0.0
            for each in operations:
                if each.client == client and each.outcome == "ok" and each.end is not None:
                    longest = max(longest, each.end - served if served else 0.0)
                    served = max(served, each.end)
        return longest


async def measure(seed: int, seconds: float, bin_dir: Path | None) -> list[Measured]:
    """Run all rows."""
    found: list[Measured] = []
    for row, faults in ROWS.items():
        found += await _measure(row, faults, random.Random(f"{seed}/{row}"), seconds, bin_dir)
    return found


async def _measure(
    row: str, faults: tuple[str, ...], choice: random.Random, seconds: float, bin_dir: Path | None
) -> list[Measured]:
    history, clock = History(), Clock()
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(injector(history, clock, bin_dir=bin_dir))
        truth = await stack.enter_async_context(Truth(rig.cluster.members, history, clock))
        direct = await stack.enter_async_context(connected(rig.cluster.endpoints))
        first = (await direct.put(b"begin", b"")).header.revision + 1
        workers = {
            name: await stack.enter_async_context(_worker(name, clock, first, rig.endpoints(0)))
            for name in CLIENTS
        }
        for worker in workers.values():
            await _hear(worker, "ready")
        until = clock() + seconds
        waiting: list[str] = []
        while clock() < until:
            await asyncio.sleep(choice.uniform(0.5, 1.0))
            waiting = waiting or choice.sample(faults, len(faults))
            await rig.inject(waiting.pop(), rig.random_member(choice), choice.random(), None)
        for worker in workers.values():
            _tell(worker)
            await _hear(worker, "stopped")
        revision = (await direct.put(b"end", b"")).header.revision
        await asyncio.wait_for(truth.until(revision), _END)
        await asyncio.sleep(_CATCH_UP)
        said = {name: await _end(worker) for name, worker in workers.items()}
    return [_judge(row, name, lines, history) for name, lines in said.items()]


@asynccontextmanager
async def _worker(
    name: str, clock: Clock, first: int, endpoints: list[str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(*CLIENTS[name], "-m", "programme.yardstick_worker"),
        *(_prefix(name), str(clock.began), str(first), *endpoints),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # A client may log each failure.
        cwd=_HOME,
        limit=_LINE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _prefix(name: str) -> str:
    return name.split()[0]


def _tell(process: asyncio.subprocess.Process) -> None:
    """Tell it to go on with the next part."""
    assert process.stdin is not None
    process.stdin.write(b"\n")


async def _hear(process: asyncio.subprocess.Process, what: str) -> None:
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readline(), _END)
    if said.decode().strip() != what:
        raise RuntimeError(f"the program said {said!r}, not {what!r}")


async def _end(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    _tell(process)
    return (await asyncio.wait_for(process.stdout.read(), _END)).decode().splitlines()


def _judge(row: str, name: str, lines: list[str], whole: History) -> Measured:
    """Judge what one client did, with what the members have of its keys."""
    history = History(dict(whole.about), faults=whole.faults)
    prefix = f"{_prefix(name)}/"
    history.events = [event for event in whole.events if event.key.startswith(prefix)]
    reopened = json.loads(lines[0])["reopened"]
    for line in lines[1:]:
        fields = json.loads(line)
        history.add(record_of(fields.pop("is"), fields))
    verdicts = judge_all(history)
    chosen = {judge: verdicts[judge] for judge in ("writes", "watches")}
    return Measured(row, name, Judged(history, chosen), reopened)
