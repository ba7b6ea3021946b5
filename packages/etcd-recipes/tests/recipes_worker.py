"""A worker of a queue as a process, that may be killed: recipes_worker.py ENDPOINT NAME."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_recipes import Job, RecipeClient


async def main(endpoint: str, name: bytes) -> None:
    async with Channel(endpoint) as channel:
        kv = KVClient(channel)

        async def handle(job: Job) -> None:
            if job.value == b"kills always" or (job.value == b"kills once" and job.attempt == 1):
                os.kill(os.getpid(), signal.SIGKILL)
            # Only the holder of the claim can record it.
            txn, key = kv.transactions, b"record/" + job.id
            await kv.transaction([job.ownership()], [txn.put(key, job.value)])

        await RecipeClient(channel).work_queue(name, attempts=4).work(handle, ttl=2)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
