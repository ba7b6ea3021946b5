"""The process whose clients contend for a mutex: `python mutex_worker.py ENDPOINT`.

Each line of stdin is a round, and its answer is one line:

    contend NAME COUNT    the seconds until each of so many, with a client each, opened a session,
                          had the mutex once and closed the session
    hand-off NAME COUNT   the median of the seconds from one acquisition to the next, while so many
                          are in the queue at first
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_lock import Mutex, QueueEntry, Session

TTL = 10


@asynccontextmanager
async def connected(endpoint: str, count: int) -> AsyncIterator[list[Channel]]:
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(Channel(endpoint)) for _ in range(count)]
        await asyncio.gather(*(KVClient(channel).get(b"none") for channel in channels))
        yield channels


async def contend(endpoint: str, name: bytes, count: int) -> float:
    async def once(channel: Channel) -> None:
        async with Session(channel, TTL) as session:
            mutex = Mutex(session, name)
            await mutex.acquire()
            await mutex.release()

    async with connected(endpoint, count) as channels:
        began = time.perf_counter()
        await asyncio.gather(*map(once, channels))
        return time.perf_counter() - began


async def hand_off(endpoint: str, name: bytes, count: int) -> float:
    acquired: list[float] = []

    async def once(entry: QueueEntry) -> None:
        await entry.wait()
        acquired.append(time.perf_counter())
        await entry.leave()

    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(connected(endpoint, count))
        sessions = [await stack.enter_async_context(Session(each, 60)) for each in channels]
        # What a mutex consists of, in two steps, so that all are in the queue at first.
        entries = [QueueEntry(session, name + b"/") for session in sessions]
        for entry in entries:
            await entry.enqueue()
        await asyncio.gather(*map(once, entries))
    return statistics.median(later - earlier for earlier, later in pairwise(acquired))


async def main(endpoint: str) -> None:
    loop = asyncio.get_running_loop()
    tasks = {"contend": contend, "hand-off": hand_off}
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task, name, count = line.split()
        print(await tasks[task](endpoint, name.encode(), int(count)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
