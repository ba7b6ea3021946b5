"""Locks under faults: worker processes are killed, and their connections broken, for some time.

Two proxies break the connections of the workers, the oldest worker is killed by SIGKILL again and
again, and others are stopped for longer than their leases last. The workers judge themselves, by
transactions: `lock_storm_worker.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lock_storm_worker import COUNTER, TTL

from etcd_channel import Channel
from etcd_channel.errors import LeaseNotFoundError
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_testing import EtcdServer, FaultProxy

__all__ = ["KINDS", "Storm", "storm"]

KINDS = ("mutex", "lock", "election", "semaphore", "read-write", "multi")
WORKERS = 4
WORKER = Path(__file__).with_name("lock_storm_worker.py")
# The leases of killed workers end within seconds; a busy machine may need longer.
PATIENCE = 60.0
# `etcdctl elect` never revokes its lease, and has no option for its time to live.
ETCDCTL_ELECT_TTL = 60


@dataclass
class Storm:
    """What happened in a storm."""

    kind: str
    events: Counter[str] = field(default_factory=Counter)
    """How often the workers printed each line."""
    kills: int = 0
    stops: int = 0
    """How often a worker was stopped for longer than its leases last."""
    etcdctl: int = 0
    """How often the real etcdctl held the lock or led."""
    faults: Counter[str] = field(default_factory=Counter)
    counter: int = 0
    """The counter at the end, which is no less than the number of `counted`."""
    keys_left: list[bytes] = field(default_factory=list)
    leases_left: int = 0

    @property
    def complaints(self) -> list[str]:
        """The lines of the workers that must not occur."""
        return [line for line in self.events if line.startswith(("VIOLATION", "ERROR"))]


class _Workers:
    """Worker processes, whose lines are counted."""

    def __init__(self, found: Storm) -> None:
        self._found = found
        self._reading: set[asyncio.Task[None]] = set()
        self.running: list[Process] = []
        self.begun = asyncio.Event()

    async def start(self, endpoint: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(WORKER), self._found.kind, endpoint), stdout=PIPE
        )
        self.running.append(process)
        task = asyncio.create_task(self._read(process))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._found.events[line.decode().strip()] += 1
            self.begun.set()

    async def kill_oldest(self) -> None:
        process = self.running.pop(0)
        _send(process, signal.SIGKILL)
        await process.wait()
        self._found.kills += 1

    async def stop(self) -> None:
        """Let the workers end by themselves."""
        for process in self.running:
            _send(process, signal.SIGTERM)
        for process in self.running:
            status = await asyncio.wait_for(process.wait(), PATIENCE)
            assert status in (0, -signal.SIGTERM), f"a worker ended with {status}"
        self.running.clear()
        await asyncio.gather(*self._reading)

    async def stop_for_longer_than_leases(self) -> None:
        """Stop a worker by SIGSTOP for some time: it resumes with locks that it has lost."""
        process = self.running[-1]
        try:
            _send(process, signal.SIGSTOP)
            self._found.stops += 1
            await asyncio.sleep(TTL + 2)
        finally:
            _send(process, signal.SIGCONT)

    def kill_all(self) -> None:
        for process in self.running:
            _send(process, signal.SIGKILL)


def _send(process: Process, number: signal.Signals) -> None:
    # A worker that ends by itself says why.
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def storm(kind: str, seconds: float, *, seed: int = 0) -> Storm:
    """Run workers under faults for so long, and return what happened."""
    found, random_ = Storm(kind), random.Random(seed)
    async with EtcdServer() as server, _proxies(server) as proxies, Channel(server.endpoint) as own:
        workers = _Workers(found)
        try:
            for number in range(WORKERS):
                await workers.start(proxies[number % 2].endpoint)
            await asyncio.wait_for(workers.begun.wait(), PATIENCE)
            others = [asyncio.create_task(_breaking(proxy, random_, found)) for proxy in proxies]
            others.append(asyncio.create_task(_stopping(workers)))
            if kind in ("mutex", "election"):
                others.append(asyncio.create_task(_etcdctl(kind, server, found)))
            try:
                await _killing(seconds, workers, proxies)
            finally:
                for other in others:
                    other.cancel()
                await asyncio.wait(others)
            for other in others:
                if not other.cancelled():
                    other.result()
            for proxy in proxies:
                proxy.heal()
            await workers.stop()
        finally:
            workers.kill_all()
        await _look_for_leftovers(own, found)
    return found


@asynccontextmanager
async def _proxies(server: EtcdServer) -> AsyncIterator[list[FaultProxy]]:
    async with FaultProxy(server.endpoint) as one, FaultProxy(server.endpoint) as two:
        yield [one, two]


async def _killing(seconds: float, workers: _Workers, proxies: list[FaultProxy]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    number = 0
    while loop.time() < end:
        await asyncio.sleep(min(3.0, seconds / 2))
        await workers.kill_oldest()
        await workers.start(proxies[number % 2].endpoint)
        number += 1


async def _stopping(workers: _Workers) -> None:
    while True:
        await asyncio.sleep(1)
        await workers.stop_for_longer_than_leases()


async def _breaking(proxy: FaultProxy, random_: random.Random, found: Storm) -> None:
    """Break the connections of a proxy in one way after the other."""
    while True:
        fault = random_.choice(["cut", "reset", "kill_next_reply", "delay", "drop", "black_hole"])
        found.faults[fault] += 1
        if fault == "delay":
            proxy.delay(0.05, jitter=0.05)
        else:
            getattr(proxy, fault)()
        # Some silences last longer than a lease.
        longest = 5.0 if fault == "black_hole" else 0.5
        await asyncio.sleep(random_.random() * longest)
        proxy.heal()
        await asyncio.sleep(random_.random())


async def _etcdctl(kind: str, server: EtcdServer, found: Storm) -> None:
    """Let the real etcdctl take part again and again."""
    while True:
        if kind == "mutex":
            command = (sys.executable, str(WORKER), "etcdctl", server.endpoint)
            async with server.etcdctl_session("lock", "--ttl=5", "storm", "--", *command) as lock:
                await lock.ended(timeout=600)
                found.events.update(lock.output().splitlines())
        else:
            async with server.etcdctl_session("elect", "storm", "etcdctl") as election:
                await election.line(timeout=600)
        found.etcdctl += 1


async def _look_for_leftovers(channel: Channel, found: Storm) -> None:
    kv, leases = KVClient(channel), LeaseClient(channel)
    counter = await kv.get(COUNTER)
    found.counter = int(counter.value) if counter else 0
    await kv.delete(COUNTER)
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        found.keys_left = [each.key for each in await kv.get_all()]
        found.leases_left = 0
        for lease in await leases.leases():
            with contextlib.suppress(LeaseNotFoundError):
                left = await leases.get_lease_info(lease)
                found.leases_left += left.granted_ttl != ETCDCTL_ELECT_TTL or bool(left.keys)
        over = asyncio.get_running_loop().time() > end
        if over or not (found.keys_left or found.leases_left):
            return
        await asyncio.sleep(0.2)
