"""The process that keeps leases alive: `python leases_worker.py ENDPOINT`.

Each line of stdin is a task: `COUNT TTL SECONDS`. The answer is one line: the share of a core that
keeping them alive took, how many leases were lost, and the seconds in which they were granted.
"""

from __future__ import annotations

import asyncio
import sys
import time

from etcd_channel import Channel
from etcd_lease import Lease, LeaseClient

AT_A_TIME = 64


async def granted(leases: LeaseClient, count: int, ttl: int) -> list[Lease]:
    places = asyncio.Semaphore(AT_A_TIME)

    async def one() -> Lease:
        async with places:
            return await leases.lease(ttl, keep_alive=True)

    return await asyncio.gather(*(one() for _ in range(count)))


async def main(endpoint: str) -> None:
    loop = asyncio.get_running_loop()
    async with Channel(endpoint) as channel:
        leases = LeaseClient(channel)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            count, ttl, seconds = map(int, line.split())
            began = time.perf_counter()
            made = await granted(leases, count, ttl)
            granting = time.perf_counter() - began
            began, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            share = (time.process_time() - used) / (time.perf_counter() - began)
            alive = set(await leases.leases())
            lost = sum(lease.is_lost or lease.id not in alive for lease in made)
            print(share, lost, granting, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
