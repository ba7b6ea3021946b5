"""Recipes under faults: worker processes are killed, and their connections broken, for some time.

Two proxies break the connections of the workers, and the oldest worker is killed by SIGKILL again
and again. The workers, `recipes_storm_worker.py`, print what they have done.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from recipes_storm_worker import COUNTERS, LASTING, NAME, RECORDS, TASKS, work_on_jobs

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_recipes import RecipeClient
from etcd_testing import EtcdServer, FaultProxy

__all__ = ["Storm", "storm"]

WORKERS = 4
WORKER = Path(__file__).with_name("recipes_storm_worker.py")
# The leases of killed workers end within seconds; a busy machine may need longer.
PATIENCE = 60.0


@dataclass
class Storm:
    """What happened in a storm."""

    kind: str
    events: Counter[str] = field(default_factory=Counter)
    """How often the workers printed the first word of a line."""
    complaints: list[str] = field(default_factory=list)
    """The lines of the workers that must not occur."""
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Items that were put, and neither returned nor worked on; additions that are gone."""
    twice: int = 0
    """Items that were returned, or recorded as done, more than once; sums that two calls got."""
    unknown: int = 0
    """Items that nobody has put, or additions to a counter that nobody has made."""
    counts_lost: int = 0
    """Counts of parts that another owner has overwritten."""
    keys_left: list[bytes] = field(default_factory=list)
    leases_left: int = 0


class _Run:
    def __init__(self, kind: str, seed: int) -> None:
        self.found = Storm(kind)
        self.random = random.Random(seed)
        self.lines: Counter[str] = Counter()
        self.begun = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()
        self._running: list[Process] = []
        self._names: dict[Process, str] = {}
        """The member or instance of a worker that has one."""
        self._sees: dict[Process, str] = {}
        """The members or instances that it has learned of last."""

    def items(self, *words: str) -> set[str]:
        """The items of the lines that begin with one of the words."""
        return {line.split()[1] for line in self.lines if line.split()[0] in words}

    # Workers ---------------------------------------------------------------------------

    async def start(self, proxy: FaultProxy) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(WORKER), self.found.kind, proxy.endpoint), stdout=PIPE
        )
        self._running.append(process)
        self._reading.add(asyncio.create_task(self._read(process)))

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for read in process.stdout:
            line = read.decode().strip()
            self.lines[line] += 1
            self.found.events[line.split()[0]] += 1
            if line.startswith("VIOLATION"):
                self.found.complaints.append(line)
            if line.startswith("is "):
                self._names[process] = line[len("is ") :]
            if line.startswith("sees"):
                self._sees[process] = line[len("sees ") :]
            if line.startswith(("got", "done", "counted", "added", "is ")):
                self.begun.set()

    async def kill_oldest(self) -> None:
        process = self._running.pop(0)
        _send(process, signal.SIGKILL)
        await process.wait()
        self.found.kills += 1

    async def stop(self) -> None:
        """Let the workers end by themselves."""
        for process in self._running:
            _send(process, signal.SIGTERM)
        for process in self._running:
            status = await asyncio.wait_for(process.wait(), PATIENCE)
            assert status in (0, -signal.SIGTERM), f"a worker ended with {status}"
        self._running.clear()
        await asyncio.gather(*self._reading)

    def kill_all(self) -> None:
        for process in self._running:
            _send(process, signal.SIGKILL)

    # Faults ----------------------------------------------------------------------------

    async def breaking(self, proxy: FaultProxy) -> None:
        """Break the connections of a proxy in one way after the other."""
        while True:
            fault = self.random.choice(
                ["cut", "reset", "kill_next_reply", "delay", "drop", "black_hole"]
            )
            self.found.faults[fault] += 1
            if fault == "delay":
                proxy.delay(0.05, jitter=0.05)
            else:
                getattr(proxy, fault)()
            # Some silences last longer than a lease.
            longest = 5.0 if fault == "black_hole" else 0.5
            await asyncio.sleep(self.random.random() * longest)
            proxy.heal()
            await asyncio.sleep(self.random.random())

    async def killing(self, seconds: float, proxies: list[FaultProxy]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await asyncio.sleep(min(3.0, seconds / 2))
            await self.kill_oldest()
            await self.start(proxies[self.found.kills % 2])

    # The end ---------------------------------------------------------------------------

    async def settle(self, channel: Channel) -> None:
        """Wait until every member or instance that runs is there, and no other, as all see it."""
        kv, end = KVClient(channel), asyncio.get_running_loop().time() + PATIENCE
        while True:
            keys = await kv.get_prefix(NAME + b"/" + LASTING, keys_only=True)
            there = sorted(each.key[len(NAME) + 1 :].decode() for each in keys)
            running = sorted(self._names.get(process, "") for process in self._running)
            seen = {self._sees.get(process, "") for process in self._running}
            if there == running and seen == {",".join(there)}:
                return
            if asyncio.get_running_loop().time() > end:
                self.found.complaints.append(f"{running} run, {there} are there, {seen} are seen")
                return
            await asyncio.sleep(0.1)

    async def judge(self, channel: Channel) -> None:
        """Take what is left without faults, and compare it with what the workers have done."""
        kv, recipes = KVClient(channel), RecipeClient(channel)
        found, put, maybe = self.found, self.items("put"), self.items("maybe")
        if found.kind == "queue":
            left: Counter[str] = Counter()
            while (item := await recipes.queue(NAME).get(timeout=0)) is not None:
                left[item.decode()] += 1
            got = Counter({line[4:]: n for line, n in self.lines.items() if line[:4] == "got "})
            got += left
            # Some of them were taken by workers that were killed, or by calls that failed.
            found.lost = len(put - got.keys())
            found.twice = sum(number > 1 for number in got.values())
            # A killed producer may have put an item without a word.
            found.unknown = len(got.keys() - put - maybe)
        elif found.kind == "work-queue":
            await self._work_on_the_rest(recipes, kv)
            records = await kv.get_prefix(RECORDS, keys_only=True)
            worked_on = {each.key[len(RECORDS) :].decode() for each in records}
            found.lost = len((put | self.items("done")) - worked_on)
            found.twice = sum(
                number > 1 for line, number in self.lines.items() if line.startswith("done")
            )
            found.unknown = len(worked_on - put - maybe)
            await kv.delete_prefix(RECORDS)
        elif found.kind == "counter":
            sums = Counter(
                {int(line[6:]): n for line, n in self.lines.items() if line[:5] == "added"}
            )
            number = await recipes.counter(NAME).get()
            found.lost = len([sum_ for sum_ in sums if sum_ > number])
            found.twice = sum(n > 1 for n in sums.values())
            # Each task of a worker that was killed or stopped may have added one without a word.
            in_doubt = len(maybe) + TASKS * (found.kills + WORKERS)
            found.unknown = max(number - len(sums) - in_doubt, 0)
            await kv.delete(NAME)
        elif found.kind == "partitioner":
            for counter in await kv.get_prefix(COUNTERS):
                said = self.lines["counted " + counter.key[len(COUNTERS) :].decode()]
                found.counts_lost += max(said - int(counter.value.split()[0]), 0)
            await kv.delete_prefix(COUNTERS)
        await self._look_for_leftovers(kv, LeaseClient(channel))

    async def _work_on_the_rest(self, recipes: RecipeClient, kv: KVClient) -> None:
        work = asyncio.create_task(work_on_jobs(recipes, kv))
        end = asyncio.get_running_loop().time() + PATIENCE
        try:
            while await recipes.work_queue(NAME).size():
                assert asyncio.get_running_loop().time() < end, "a job is claimed for ever"
                await asyncio.sleep(0.2)
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def _look_for_leftovers(self, kv: KVClient, leases: LeaseClient) -> None:
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            self.found.keys_left = [each.key for each in await kv.get_all()]
            self.found.leases_left = len(await leases.leases())
            over = asyncio.get_running_loop().time() > end
            if over or not (self.found.keys_left or self.found.leases_left):
                return
            await asyncio.sleep(0.2)


def _send(process: Process, number: signal.Signals) -> None:
    # A worker that ends by itself says why.
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def storm(kind: str, seconds: float, *, seed: int = 0) -> Storm:
    """Run workers under faults for so long, and return what happened."""
    run = _Run(kind, seed)
    async with (
        EtcdServer() as server,
        FaultProxy(server.endpoint) as one,
        FaultProxy(server.endpoint) as two,
        Channel(server.endpoint) as own,
    ):
        proxies = [one, two]
        try:
            for number in range(WORKERS):
                await run.start(proxies[number % 2])
            await asyncio.wait_for(run.begun.wait(), PATIENCE)
            others = [asyncio.create_task(run.breaking(proxy)) for proxy in proxies]
            try:
                await run.killing(seconds, proxies)
            finally:
                for other in others:
                    other.cancel()
                await asyncio.wait(others)
            for other in others:
                if not other.cancelled():
                    other.result()
            for proxy in proxies:
                proxy.heal()
            if kind in ("registration", "group"):
                await run.settle(own)
            await run.stop()
        finally:
            run.kill_all()
        await run.judge(own)
    return run.found
