"""Fifty contenders for one documented lock: ours beside aetcd 1.0.0, and the leases left over."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from side_by_side import SIDES, side_by_side
from spread import spread

from etcd_channel import Channel
from etcd_lease import LeaseClient
from etcd_testing import EtcdServer

__all__ = ["report"]

CONTENDERS = 50
MOST = 0.5
WORKER = Path(__file__).with_name("lock_worker.py")


async def measure(rounds: int) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """Measure the rounds of both, in turns: the seconds of each, and the leases it left."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    leases_left: dict[str, list[int]] = {name: [] for name in SIDES}
    async with (
        EtcdServer() as server,
        Channel(server.endpoint) as channel,
        side_by_side(WORKER, server.endpoint) as workers,
    ):
        leases = LeaseClient(channel)
        for number in range(rounds):
            for name, worker in workers.items():
                before = len(await leases.leases())
                seconds[name].append(await worker.work(f"{name}/{number}", CONTENDERS))
                leases_left[name].append(len(await leases.leases()) - before)
    return seconds, leases_left


def report(rounds: int) -> list[str]:
    """Print what was measured, and return which targets were missed."""
    seconds, leases_left = asyncio.run(measure(rounds))
    print(f"\n{CONTENDERS} contenders for one lock, {rounds} rounds")
    for name in SIDES:
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
