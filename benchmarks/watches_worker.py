"""The process with many watches on one client: `python watches_worker.py HOST PORT`.

Each line of stdin is a task, and its answer is one line, the median of seconds:

    open COUNT        open COUNT watches, each of a key of its own, and as many of one key
    each COUNT PUTS   from the call of put to the event, each time of another watch
    all COUNT PUTS    from the call of put to the last event of the watches of one key

It runs on the reference and on this client: both are imported as `aetcd`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import aetcd


class Group:
    """So many watches on a client of their own, and a client that puts their keys."""

    def __init__(self, name: bytes, host: str, port: str) -> None:
        self._name = name
        self._watching = aetcd.Client(host, int(port))
        self._putting = aetcd.Client(host, int(port))
        self._arrived = asyncio.Event()
        self._left = 0
        self._reading: list[asyncio.Task[None]] = []

    async def open(self, count: int) -> None:
        for client in (self._watching, self._putting):
            await client.connect()
        for number in range(count):
            await self._open_one(b"%s/each/%d" % (self._name, number))
            await self._open_one(b"%s/all" % self._name)

    async def _open_one(self, key: bytes) -> None:
        watch = await self._watching.watch(key)

        async def read() -> None:
            async for _ in watch:
                self._left -= 1
                if not self._left:
                    self._arrived.set()

        self._reading.append(asyncio.create_task(read()))

    async def latency(self, key: bytes, events: int) -> float:
        self._arrived.clear()
        self._left = events
        began = time.perf_counter()
        putting = asyncio.create_task(self._putting.put(self._name + key, b"value"))
        await self._arrived.wait()
        took = time.perf_counter() - began
        await putting
        return took


async def main(host: str, port: str) -> None:
    loop = asyncio.get_running_loop()
    groups: dict[int, Group] = {}

    async def open_(count: int) -> float:
        groups[count] = Group(b"watches/%d" % count, host, port)
        began = time.perf_counter()
        await groups[count].open(count)
        return time.perf_counter() - began

    async def each(count: int, puts: int) -> float:
        steps = range(0, puts * 7, 7)
        return statistics.median(
            [await groups[count].latency(b"/each/%d" % (step % count), 1) for step in steps]
        )

    async def all_(count: int, puts: int) -> float:
        return statistics.median(
            [await groups[count].latency(b"/all", count) for _ in range(max(puts, 1))]
        )

    tasks: dict[str, Callable[..., Awaitable[float]]] = {"open": open_, "each": each, "all": all_}
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task, *numbers = line.split()
        print(await tasks[task](*map(int, numbers)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
