"""The memory of a large result, relative to that of the raw response to the same request.

Each is read in a process of its own, which prints by how much its resident memory has grown while
it holds the result.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

from findings import Finding, Outcome, Rate
from settings import Settings
from spread import ratios

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

__all__ = ["measure", "read"]

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


def read(endpoint: str, way: str, prefix: str = PREFIX.decode()) -> tuple[int, int, int]:
    """The bytes held, those at the peak while reading, and those on the wire if known."""
    command = [sys.executable, str(READER), endpoint, way, prefix]
    # With a fixed threshold glibc returns every large block to the system when it is freed.
    variables = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    held, peak, wire = map(int, ended.stdout.split())
    return held, peak, wire


async def measure(settings: Settings) -> Outcome:
    async with EtcdServer() as server:
        await fill(server.endpoint)
        results: dict[str, list[tuple[int, int, int]]] = {way: [] for way in WAYS}
        for _ in range(settings.either(TIMES, 1)):
            for way, measured in results.items():
                measured.append(await asyncio.to_thread(read, server.endpoint, way))
    wire = results["raw"][0][2]
    found = Outcome(
        "Memory of a large result",
        f"A result of {KEYS:,} keys of 100 bytes, {wire / 1e6:.1f} MB on the wire: how far the"
        " resident memory grew, by the raw response to the same request. A `KeyValue` is made only"
        " when a key is accessed; the list is the caller's own doing.",
    )
    for number, case in enumerate(("held", "at the peak")):
        grown = {way: [each[number] for each in all_] for way, all_ in results.items()}
        for way, name in WAYS.items():
            found.rates.append(Rate(case, name, statistics.median(grown[way]) / 1e6, "MB"))
        for way in ("ours", "iterated"):
            ratio = ratios(grown[way], grown["raw"])
            found.findings.append(Finding(case, f"{WAYS[way]} / raw", ratio, at_most=MOST))
    return found
