"""Watches: the cost of an event beside aetcd 1.0.0, and what a slow reader costs its neighbour."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from pathlib import Path

from side_by_side import SIDES, side_by_side
from spread import spread

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer
from etcd_watch import Watch, WatchClient

__all__ = ["report"]

EVENTS = 100_000
MOST_COST = 0.5
LEAST_SPEED = 0.9
PREFIX = b"replay/"
WORKER = Path(__file__).with_name("watch_worker.py")


async def write_history(kv: KVClient) -> int:
    """Put the events, ten at a revision; the first revision of them."""
    words = kv.transactions
    first = 0
    for begin in range(0, EVENTS, 10):
        puts = [words.put(PREFIX + b"%06d" % n, b"v" * 64) for n in range(begin, begin + 10)]
        done = await kv.transaction([], puts)
        first = first or done.header.revision
    return first


async def replays(server: EtcdServer, revision: int, rounds: int) -> dict[str, list[float]]:
    """Replay the history by both, in turns: the processor seconds of each round."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    async with side_by_side(WORKER, server.endpoint) as workers:
        for _ in range(rounds):
            for name, worker in workers.items():
                seconds[name].append(await worker.work(PREFIX.decode(), revision, EVENTS))
    return seconds


async def read_all(watches: WatchClient, revision: int) -> float:
    """Replay the history at full speed; the events in a second."""
    began = time.perf_counter()
    left = EVENTS
    async with watches.watch_prefix(PREFIX, start_revision=revision) as watch:
        async for _ in watch:
            left -= 1
            if not left:
                break
    return EVENTS / (time.perf_counter() - began)


async def read_slowly(watch: Watch) -> None:
    """Read ten events in a second."""
    async for _ in watch:
        await asyncio.sleep(0.1)


async def beside_a_slow_one(
    server: EtcdServer, revision: int, rounds: int
) -> tuple[list[float], list[float], int]:
    """Read at full speed, alone and beside a slow reader of the same events, in turns.

    Returns the speeds of both, and the bytes by which memory grew after the first round.
    """
    alone, beside = [], []
    before = 0
    async with Channel(server.endpoint) as channel:
        watches = WatchClient(channel)
        for number in range(rounds + 1):
            alone.append(await read_all(watches, revision))
            async with watches.watch_prefix(
                PREFIX, start_revision=revision, buffer_bytes=1 << 20
            ) as slow:
                reading = asyncio.create_task(read_slowly(slow))
                beside.append(await read_all(watches, revision))
                reading.cancel()
                await asyncio.wait([reading])
            if not number:
                before = most_memory()
        grown = most_memory() - before
    return alone[1:], beside[1:], grown


def most_memory() -> int:
    """The bytes of resident memory at the peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def measure(rounds: int) -> list[str]:
    async with EtcdServer() as server:
        async with Channel(server.endpoint) as channel:
            revision = await write_history(KVClient(channel))
        seconds = await replays(server, revision, rounds)
        alone, beside, grown = await beside_a_slow_one(server, revision, rounds)
    print(f"\nreplay of {EVENTS:,} events, {rounds} rounds")
    for name in SIDES:
        cost_of_one = statistics.median(seconds[name]) / EVENTS * 1e6
        print(f"  {name:6} {cost_of_one:.2f} µs of a processor for an event")
    cost = spread(
        ours / theirs for ours, theirs in zip(seconds["ours"], seconds["aetcd"], strict=True)
    )
    print(f"  ours / aetcd {cost:.3f}   (at most {MOST_COST:.2f})")
    speed = spread(one / other for one, other in zip(beside, alone, strict=True))
    print(f"  beside a reader of 10 events/s / alone {speed:.3f}   (at least {LEAST_SPEED:.2f})")
    print(f"  memory grew by {grown / 1e6:.1f} MB after the first round")
    missed = []
    if cost.median > MOST_COST:
        missed.append(f"watches: ours / aetcd is {cost:.3f}")
    if speed.median < LEAST_SPEED:
        missed.append(f"watches: beside a slow reader / alone is {speed:.3f}")
    return missed


def report(rounds: int) -> list[str]:
    """Print what was measured, and return which targets were missed."""
    return asyncio.run(measure(rounds))
