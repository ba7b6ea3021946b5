"""Calls per second of several clients, in one run, in alternation, against one etcd.

A round of one client follows a round of another, and each ratio is one of neighbours: what slows
the machine down for a while slows both. The order turns from round to round.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from spread import Spread, spread

from etcd_testing import EtcdServer

__all__ = ["report"]

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).with_name("worker.py")

# Which clients share a process: ours is held against the bare call in its own.
PROCESSES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("grpc.aio", "grpc.aio+deadline", "etcd-kv"): (sys.executable,),
    ("aetcd",): (sys.executable, str(ROOT / "tools" / "peers.py"), "aetcd"),
}
CASES = [(operation, in_flight) for operation in ("get", "put") for in_flight in (1, 64)]
# (client, what it is held against, the least that the ratio may be)
RATIOS: list[tuple[str, str, float | None]] = [
    ("etcd-kv", "grpc.aio", 0.95),
    ("etcd-kv", "grpc.aio+deadline", None),
    ("etcd-kv", "aetcd", 1.0),
]
ROUND_SECONDS = 0.05


class Worker:
    """A process that was told which clients to hold."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._told, self._said = process.stdin, process.stdout

    async def seconds(self, client: str, operation: str, in_flight: int, calls: int) -> float:
        """Let a client make so many calls."""
        self._told.write(f"{client} {operation} {in_flight} {calls}\n".encode())
        line = await self._said.readline()
        if not line:
            raise RuntimeError(f"the process of {client} ended")
        return float(line)


@asynccontextmanager
async def started(
    command: Sequence[str], endpoint: str, clients: Sequence[str]
) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        *command,
        str(WORKER),
        endpoint,
        *clients,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Worker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@dataclass
class Measured:
    """The rounds of one case: calls per second by client, in the order of the rounds."""

    rates: dict[str, list[float]]

    def ratio(self, client: str, other: str) -> Spread:
        return spread(
            one / another
            for one, another in zip(self.rates[client], self.rates[other], strict=True)
        )


async def measure(rounds: int, starts: int) -> dict[tuple[str, int], Measured]:
    """Measure all cases, in `starts` sets of fresh processes: no process is like another."""
    results: dict[tuple[str, int], Measured] = {case: Measured(defaultdict(list)) for case in CASES}
    async with EtcdServer() as server:
        for _ in range(starts):
            async with AsyncExitStack() as stack:
                workers: dict[str, Worker] = {}
                for clients, command in PROCESSES.items():
                    worker = await stack.enter_async_context(
                        started(command, server.endpoint, clients)
                    )
                    workers.update(dict.fromkeys(clients, worker))
                for case in CASES:
                    await measure_case(case, workers, rounds // starts, results[case])
    return results


async def measure_case(
    case: tuple[str, int], workers: dict[str, Worker], rounds: int, result: Measured
) -> None:
    operation, in_flight = case
    calls = await calls_in_a_round(case, workers)
    order = list(workers)
    for number in range(rounds):
        turn = number % len(order)
        for client in order[turn:] + order[:turn]:
            seconds = await workers[client].seconds(client, operation, in_flight, calls)
            result.rates[client].append(calls / seconds)


async def calls_in_a_round(case: tuple[str, int], workers: dict[str, Worker]) -> int:
    """How many calls take about `ROUND_SECONDS`; it warms everything up to find that out."""
    operation, in_flight = case
    few = 10 * in_flight
    fastest = min(
        [
            await worker.seconds(client, operation, in_flight, few)
            for _ in range(5)
            for client, worker in workers.items()
        ]
    )
    return max(1, round(ROUND_SECONDS / fastest * 10)) * in_flight


def report(rounds: int, starts: int) -> list[str]:
    """Print what was measured, and return which targets were missed."""
    missed = []
    for (operation, in_flight), measured in asyncio.run(measure(rounds, starts)).items():
        print(f"\n{operation} of 64 bytes, {in_flight} in flight, {rounds} rounds")
        for client, rates in measured.rates.items():
            print(f"  {client:20} {statistics.median(rates):8,.0f} calls/s")
        for client, other, least in RATIOS:
            ratio = measured.ratio(client, other)
            goal = "" if least is None else f"   (at least {least:.2f})"
            print(f"  {client} / {other:18} {ratio:.3f}{goal}")
            if least is not None and ratio.median < least:
                missed.append(
                    f"{operation}, {in_flight} in flight: {client} / {other} is {ratio:.3f}"
                )
    return missed
