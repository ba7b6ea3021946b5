"""Fifty contenders for one documented lock: ours beside aetcd 1.0.0, and the leases left over."""

from __future__ import annotations

import asyncio
import statistics
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from spread import spread

from etcd_channel import Channel
from etcd_lease import LeaseClient
from etcd_testing import EtcdServer

__all__ = ["report"]

CONTENDERS = 50
MOST = 0.5
WORKER = Path(__file__).with_name("lock_worker.py")
PEERS = Path(__file__).parent.parent / "tools" / "peers.py"
COMMANDS = {"ours": [sys.executable], "aetcd": [sys.executable, str(PEERS), "aetcd"]}


async def measure(rounds: int) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Measure the rounds of both, in turns: the seconds of each, and the leases it left."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    leases_left: dict[str, list[int]] = {name: [] for name in COMMANDS}
    async with EtcdServer() as server, AsyncExitStack() as stack:
        channel = await stack.enter_async_context(Channel(server.endpoint))
        leases = LeaseClient(channel)
        host, port = server.endpoint.rsplit(":", 1)
        workers = {}
        for name, command in COMMANDS.items():
            process = await asyncio.create_subprocess_exec(
                *command,
                str(WORKER),
                host,
                port,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(process.wait)
            assert process.stdin is not None
            stack.callback(process.stdin.close)
            workers[name] = process
        for number in range(rounds):
            for name, process in workers.items():
                assert process.stdin is not None
                assert process.stdout is not None
                before = len(await leases.leases())
                process.stdin.write(f"{name}/{number} {CONTENDERS}\n".encode())
                seconds[name].append(float(await process.stdout.readline()))
                leases_left[name].append(len(await leases.leases()) - before)
    return seconds, leases_left


def report(rounds: int) -> list[str]:
    """Print what was measured, and return which targets were missed."""
    seconds, leases_left = asyncio.run(measure(rounds))
    print(f"\n{CONTENDERS} contenders for one lock, {rounds} rounds")
    for name in COMMANDS:
        print(
            f"  {name:6} {statistics.median(seconds[name]):.3f} s,"
            f" {statistics.median(leases_left[name]):.0f} leases left in a round"
        )
    ratio = spread(
        ours / theirs for ours, theirs in zip(seconds["ours"], seconds["aetcd"], strict=True)
    )
    print(f"  ours / aetcd {ratio:.3f}   (at most {MOST:.2f})")
    missed = []
    if ratio.median > MOST:
        missed.append(f"locks: ours / aetcd is {ratio:.3f}")
    if any(leases_left["ours"]):
        missed.append(f"locks: ours left leases: {leases_left['ours']}")
    return missed
