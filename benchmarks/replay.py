"""The replay of a watch's history: the cost of an event, and of a slow reader to another one."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from findings import Finding, Outcome, Rate
from resident import resident
from settings import OURS, Settings, say
from spread import ratios, spread
from workers import started_for

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer
from etcd_watch import Watch, WatchClient

__all__ = ["measure"]

EVENTS, ROUNDS = 100_000, 8
MOST_COST = 0.42
LEAST_SPEED = 0.9
PREFIX = b"replay/"
WORKER = Path(__file__).with_name("replay_worker.py")


async def write_history(kv: KVClient, events: int) -> int:
    """Put the events, ten at a revision; return the first revision."""
    txn = kv.transactions
    first = 0
    for begin in range(0, events, 10):
        puts = [txn.put(PREFIX + b"%06d" % n, b"v" * 64) for n in range(begin, begin + 10)]
        done = await kv.transaction([], puts)
        first = first or done.header.revision
    return first


async def replays(
    server: EtcdServer, revision: int, events: int, rounds: int, sides: Iterable[str]
) -> dict[str, list[float]]:
    """Replay the history with both, alternating; return the processor seconds of each round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    async with started_for(sides, WORKER, *server.endpoint.rsplit(":", 1)) as workers:
        for number in range(rounds + 1):
            for name, worker in workers.items():
                took = await worker.work(PREFIX.decode(), revision, events)
                # The first round only warms everything up.
                if number:
                    seconds[name].append(took)
    return seconds


async def read_all(watches: WatchClient, revision: int, events: int) -> float:
    """Replay the history at full speed; return the events per second."""
    began = time.perf_counter()
    left = events
    async with watches.watch_prefix(PREFIX, start_revision=revision) as watch:
        async for _ in watch:
            left -= 1
            if not left:
                break
    return events / (time.perf_counter() - began)


async def read_slowly(watch: Watch) -> None:
    """Read ten events per second."""
    async for _ in watch:
        await asyncio.sleep(0.1)


async def beside_a_slow_one(
    server: EtcdServer, revision: int, events: int, rounds: int
) -> tuple[list[float], list[float], int]:
    """Read at full speed, alternating alone and beside a slow reader of the same events.

    Returns both speeds, and by how many bytes the memory grew after the first round.
    """
    alone, beside = [], []
    before = 0
    async with Channel(server.endpoint) as channel:
        watches = WatchClient(channel)
        for number in range(rounds + 1):
            alone.append(await read_all(watches, revision, events))
            async with watches.watch_prefix(
                PREFIX, start_revision=revision, buffer_bytes=1 << 20
            ) as slow:
                reading = asyncio.create_task(read_slowly(slow))
                beside.append(await read_all(watches, revision, events))
                reading.cancel()
                await asyncio.wait([reading])
            if not number:
                before = resident()
        grown = resident() - before
    return alone[1:], beside[1:], grown


async def measure(settings: Settings) -> Outcome:
    events, rounds = settings.either(EVENTS, 10_000), settings.either(ROUNDS, 2)
    async with EtcdServer() as server:
        say(f"writing {events:,} events")
        async with Channel(server.endpoint) as channel:
            revision = await write_history(KVClient(channel), events)
        say(f"replaying them, {rounds} rounds")
        seconds = await replays(server, revision, events, rounds, settings.sides)
        say("beside a slow reader")
        alone, beside, grown = await beside_a_slow_one(server, revision, events, rounds)
        go = await go_costs(settings, server, events)
    case = f"replay of {events:,} events"
    found = Outcome(
        "Replay of a watch",
        "The history of a prefix, ten events at a revision, is read by one watch: processor time"
        " of the client for an event. A slow reader takes ten events per second.",
    )
    for name, each in seconds.items():
        found.rates.append(Rate(case, name, statistics.median(each) / events * 1e6, "µs an event"))
    if go:
        found.rates.append(Rate(case, "Go", statistics.median(go) * 1e6, "µs an event"))
    if "aetcd" in seconds:
        cost = ratios(seconds[OURS], seconds["aetcd"])
        found.findings.append(Finding(case, "ours / aetcd", cost, at_most=MOST_COST))
    found.findings += [
        Finding(
            case,
            "speed beside a slow reader / alone",
            ratios(beside, alone),
            at_least=LEAST_SPEED,
        ),
        Finding(
            case, "memory after the last round, by the first", spread([grown / 1e6]), "MB more"
        ),
    ]
    return found


async def go_costs(settings: Settings, server: EtcdServer, events: int) -> list[float]:
    """Go's processor seconds for an event, some times."""
    if settings.go is None:
        return []
    times = settings.either(3, 1)
    return [
        (await settings.go.run(server.endpoint, "watch", events)).processor for _ in range(times)
    ]
