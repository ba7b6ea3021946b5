"""The process whose tasks contend for one documented lock: `python lock_worker.py HOST PORT`.

Each line of stdin is a round: `KEY CONTENDERS`. The answer is one line, the seconds until each of
the contenders had the lock once. It runs on the reference as it does on ours: both are `aetcd`.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aetcd


async def main(host: str, port: str) -> None:
    loop = asyncio.get_running_loop()
    async with aetcd.Client(host, int(port)) as client:

        async def contend(key: bytes) -> None:
            lock = client.lock(key, ttl=60)
            while not await lock.acquire(timeout=60):
                pass
            await lock.release()

        while line := await loop.run_in_executor(None, sys.stdin.readline):
            key, contenders = line.split()
            began = time.perf_counter()
            await asyncio.gather(*(contend(key.encode()) for _ in range(int(contenders))))
            print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
