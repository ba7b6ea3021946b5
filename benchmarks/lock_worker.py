"""The process whose clients contend for one documented lock: `python lock_worker.py HOST PORT`.

Each line of stdin is a round: `KEY CONTENDERS`. The answer is one line, the seconds until each of
the contenders, with a connected client of its own, had the lock once. It runs on the reference and
on this client: both are imported as `aetcd`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack

import aetcd


async def contend(client: aetcd.Client, key: bytes) -> None:
    lock = client.lock(key, ttl=60)
    while not await lock.acquire(timeout=60):
        pass
    await lock.release()


async def main(host: str, port: str) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        key, contenders = line.split()
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(aetcd.Client(host, int(port)))
                for _ in range(int(contenders))
            ]
            await asyncio.gather(*(client.get(b"none") for client in clients))
            began = time.perf_counter()
            await asyncio.gather(*(contend(client, key.encode()) for client in clients))
            took = time.perf_counter() - began
        print(took, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
