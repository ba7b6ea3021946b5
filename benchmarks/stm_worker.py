"""A process that increments ten keys by 64 tasks with one client, driven over stdin and stdout.

python stm_worker.py ENDPOINT

Each line of stdin is a round: `increment COUNT`. The answer is one line, the seconds that it took;
a lost increment ends the process with an error.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

from etcd_channel import Channel
from etcd_kv import KVClient, STMTransaction

KEYS = [b"ours/%d" % number for number in range(10)]
TASKS = 64


async def total(kv: KVClient) -> int:
    return sum(int(found.value) for found in await kv.get_prefix(b"ours/"))


async def increment(kv: KVClient, count: int) -> float:
    """Return the seconds that so many increments take."""
    todo = iter(range(count))

    async def some() -> None:
        for number in todo:
            key = KEYS[number % len(KEYS)]

            async def body(t: STMTransaction, key: bytes = key) -> None:
                found = await t.get(key)
                t.put(key, b"%d" % (1 if found is None else int(found.value) + 1))

            await kv.stm(body, timeout=120)

    before = await total(kv)
    gc.collect()  # the garbage of the round before
    begun = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(TASKS)))
    took = time.perf_counter() - begun
    if await total(kv) != before + count:
        raise RuntimeError(f"of {count} increments {await total(kv) - before} are there")
    return took


async def main(endpoint: str) -> None:
    loop = asyncio.get_running_loop()
    async with Channel(endpoint) as channel:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            _, count = line.split()
            print(await increment(KVClient(channel), int(count)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
