"""A scan of many keys, by one unlimited Range: its speed, and the memory that it takes.

Each is done in a process of its own, since memory that was once used is not always given back.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from findings import Finding, Outcome, Rate
from settings import Settings, say
from spread import ratios, spread

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

__all__ = ["measure"]

READER = Path(__file__).with_name("scan_reader.py")
KEYS, ROUNDS = 300_000, 6
PREFIX = b"scans/"
RAW = "one raw Range"
WAYS = {
    "raw": RAW,
    "pages": "scan, by pages",
    "keys": "scan, key by key",
    "reverse": "scan backward, by pages",
}
LEAST_SPEED = {"pages": 0.8, "keys": 0.8, "reverse": None}
MOST_MEMORY = 32.0


def read(endpoint: str, way: str) -> tuple[float, float]:
    """Return the seconds and the growth of the memory in MB."""
    command = [sys.executable, str(READER), endpoint, way, PREFIX.decode()]
    # With a fixed threshold glibc returns every large block to the system when it is freed.
    variables = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables)
    seconds, grown = map(float, ended.stdout.split())
    return seconds, grown / 1e6


async def measure(settings: Settings) -> Outcome:
    keys, rounds = settings.either(KEYS, 20_000), settings.either(ROUNDS, 2)
    rates: dict[str, list[float]] = defaultdict(list)
    grown: dict[str, list[float]] = defaultdict(list)
    async with EtcdServer() as server:
        say(f"writing {keys:,} keys")
        async with Channel(server.endpoint) as channel:
            pairs = ((PREFIX + b"%08d" % number, b"v" * 100) for number in range(keys))
            await KVClient(channel).put_many(pairs)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for way in WAYS:
                seconds, growth = await asyncio.to_thread(read, server.endpoint, way)
                rates[way].append(keys / seconds)
                grown[way].append(growth)
    found = Outcome(
        "Scans",
        f"`scan_prefix` of {keys:,} keys of 100 bytes with default arguments, by one unlimited"
        " Range of `grpc.aio`, which is only received. Each is read by a process of its own; the"
        " memory is by how much the resident memory grew at the peak.",
    )
    for way, name in WAYS.items():
        found.rates += [
            Rate("keys per second", name, statistics.median(rates[way]), "/s"),
            Rate("memory", name, statistics.median(grown[way]), "MB"),
        ]
    for way, least in LEAST_SPEED.items():
        speed = ratios(rates[way], rates["raw"])
        found.findings += [
            Finding(WAYS[way], f"speed / {RAW}", speed, at_least=least),
            Finding(WAYS[way], "memory", spread(grown[way]), "MB", at_most=MOST_MEMORY),
        ]
    found.rates.sort(key=lambda rate: rate.case)
    return found
