"""The memory of a large result, by that of the raw response to the same request.

Each is read in a process of its own, which tells by how much its resident memory grew and stayed
grown while it holds the result.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

__all__ = ["report"]

READER = Path(__file__).with_name("memory_reader.py")
KEYS = 60_000
PREFIX = b"memory/"
WAYS = {
    "raw": "raw response",
    "ours": "GetRange",
    "iterated": "GetRange, iterated over once",
    "listed": "list of all its keys",
}
MOST = 2.0
TIMES = 5


async def fill(endpoint: str) -> None:
    async with Channel(endpoint) as channel:
        kv = KVClient(channel)
        for start in range(0, KEYS, 128):
            numbers = range(start, min(start + 128, KEYS))
            puts = [kv.transactions.put(PREFIX + b"%06d" % n, b"v" * 100) for n in numbers]
            await kv.transaction([], puts)


def read(endpoint: str, way: str) -> tuple[int, int, int]:
    """The bytes held, those at the peak of the reading, and those on the wire if they are known."""
    command = [sys.executable, str(READER), endpoint, way, PREFIX.decode()]
    # With a fixed threshold glibc gives every large block back when it is freed.
    variables = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    held, peak, wire = map(int, ended.stdout.split())
    return held, peak, wire


async def measure() -> dict[str, list[tuple[int, int, int]]]:
    async with EtcdServer() as server:
        await fill(server.endpoint)
        results: dict[str, list[tuple[int, int, int]]] = {way: [] for way in WAYS}
        for _ in range(TIMES):
            for way, measured in results.items():
                measured.append(await asyncio.to_thread(read, server.endpoint, way))
        return results


def report() -> list[str]:
    """Print what was measured, and return which targets were missed."""
    results = asyncio.run(measure())
    wire = results["raw"][0][2]
    print(f"\nmemory of a result of {KEYS:,} keys of 100 bytes, {wire / 1e6:.1f} MB on the wire")
    held = {way: statistics.median(each[0] for each in all_) for way, all_ in results.items()}
    peak = {way: statistics.median(each[1] for each in all_) for way, all_ in results.items()}
    for way, name in WAYS.items():
        print(
            f"  {name:34} {held[way] / 1e6:6.1f} MB, at the peak {peak[way] / 1e6:6.1f} MB,"
            f" ratio {held[way] / held['raw']:.2f} and {peak[way] / peak['raw']:.2f}"
        )
    missed = []
    for way in ("ours", "iterated"):
        ratio = max(held[way] / held["raw"], peak[way] / peak["raw"])
        if ratio > MOST:
            missed.append(f"memory: {WAYS[way]}: {ratio:.2f} of the raw response")
    print(f"  (at most {MOST:.2f} but for the list, which is the caller's)")
    return missed
