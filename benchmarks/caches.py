"""A cache of many keys: its load by one unlimited Range, its reads by RPCs, and its memory.

The memory is measured in a process of its own by memory_reader.py.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections import defaultdict

from findings import Finding, Outcome, Rate
from memory import read as read_memory
from settings import Settings, say
from spread import ratios, spread

from etcd_cache import CacheClient
from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

__all__ = ["measure"]

KEYS, ROUNDS = 100_000, 9
PREFIX = b"caches/"
LOCAL_READS, RPCS = 100_000, 1_000
WAYS = {"raw": "one Range", "dict": "one Range into a dict", "cache": "a cache"}
MOST_TIME = 1.5
LEAST_READS = 200.0


async def load(channel: Channel, way: str) -> tuple[float, float]:
    """Read all keys; return the seconds, and the seconds of the processor in this process."""
    gc.collect()
    began, worked = time.perf_counter(), time.process_time()
    if way == "cache":
        async with CacheClient(channel).cache(PREFIX) as cache:
            spent = time.perf_counter() - began, time.process_time() - worked
            assert len(cache)
        return spent
    found = await KVClient(channel).get_prefix(PREFIX)
    if way == "dict":
        known = {one.key: one.value for one in found}
        assert len(known) == len(found)
    return time.perf_counter() - began, time.process_time() - worked


async def reads(channel: Channel) -> tuple[float, float]:
    """Return the reads in a second, of a cache and by RPC; of processor time in this process."""
    key = PREFIX + b"%08d" % 777
    async with CacheClient(channel).cache(PREFIX) as cache:
        began = time.process_time()
        for _ in range(LOCAL_READS):
            cache.get(key)
        local = LOCAL_READS / (time.process_time() - began)
        kv = KVClient(channel)
        began = time.process_time()
        for _ in range(RPCS):
            await kv.get(key)
        return local, RPCS / (time.process_time() - began)


async def measure(settings: Settings) -> Outcome:
    keys, rounds = settings.either(KEYS, 5_000), settings.either(ROUNDS, 2)
    seconds: dict[str, list[float]] = defaultdict(list)
    worked: dict[str, list[float]] = defaultdict(list)
    local, remote, memory = [], [], defaultdict(list)
    async with EtcdServer() as server, Channel(server.endpoint) as channel:
        say(f"writing {keys:,} keys")
        pairs = ((PREFIX + b"%08d" % number, b"v" * 100) for number in range(keys))
        await KVClient(channel).put_many(pairs)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for way in WAYS:
                wall, processor = await load(channel, way)
                seconds[way].append(wall)
                worked[way].append(processor)
            one, other = await reads(channel)
            local.append(one)
            remote.append(other)
        for way in ("raw", "cache"):
            for _ in range(min(rounds, 3)):
                held, _, _ = await asyncio.to_thread(
                    read_memory, server.endpoint, way, PREFIX.decode()
                )
                memory[way].append(held / keys)
    found = Outcome(
        "Caches",
        f"The load of a cache of {keys:,} keys of 100 bytes, by `get_prefix` of these keys, which"
        " is only received or put into a dict; by time, and by processor time of the process"
        " without the server's. Then `get` of the cache by `KVClient.get`, one at a time, by"
        " processor time. The memory is by how much the resident memory of a process grew.",
    )
    for way, name in WAYS.items():
        found.rates.append(Rate("load", name, 1000 * statistics.median(seconds[way]), "ms"))
    found.rates += [
        Rate("get", "a cache", statistics.median(local), "/s"),
        Rate("get", "RPCs", statistics.median(remote), "/s"),
        Rate("memory of a key", "one Range", statistics.median(memory["raw"]), "bytes"),
        Rate("memory of a key", "a cache", statistics.median(memory["cache"]), "bytes"),
    ]
    found.findings += [
        Finding(
            "load", "time / one Range", ratios(seconds["cache"], seconds["raw"]), at_most=MOST_TIME
        ),
        Finding(
            "load",
            "processor time / one Range into a dict",
            ratios(worked["cache"], worked["dict"]),
            at_most=MOST_TIME,
        ),
        Finding("get", "speed / RPCs", ratios(local, remote), at_least=LEAST_READS),
        Finding("memory of a key", "of a cache", spread(memory["cache"]), "bytes"),
    ]
    return found
