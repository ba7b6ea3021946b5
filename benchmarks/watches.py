"""How long an event takes to a watch, by the number of watches that one client has."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

from findings import Finding, Line, Outcome, Plot, Rate
from settings import OURS, Settings, say
from spread import ratios
from workers import started_for

from etcd_testing import EtcdServer

__all__ = ["measure"]

WORKER = Path(__file__).with_name("watches_worker.py")
WATCHES = (1, 10, 100, 1000)
PUTS, ROUNDS = 40, 10
MOST = 2.0


async def measure(settings: Settings) -> Outcome:
    """Measure all numbers of watches in turn, so that each is compared with a neighbour of one."""
    puts, rounds = settings.either(PUTS, 10), settings.either(ROUNDS, 2)
    latencies: dict[tuple[str, int], list[float]] = defaultdict(list)
    last: dict[tuple[str, int], list[float]] = defaultdict(list)
    async with (
        EtcdServer() as server,
        started_for(settings.sides, WORKER, *server.endpoint.rsplit(":", 1)) as workers,
    ):
        for name, worker in workers.items():
            say(name)
            for count in WATCHES:
                await worker.work("open", count)
            # The first only warms everything up.
            await worker.work("each", 1, puts)
            await worker.work("each", max(WATCHES), puts)
            for _ in range(rounds):
                for count in WATCHES:
                    latencies[name, count].append(await worker.work("each", count, puts))
                    last[name, count].append(await worker.work("all", count, puts // 5))
    found = Outcome(
        "Watches on one client",
        "Each watch has a key of its own; one of the keys at a time is put, and what is measured is"
        " the time from the call of `put` to the event in the loop of its watch. Beside it, all"
        " watches have the same key: the time until each has the event.",
    )
    for (name, count), each in latencies.items():
        case = f"{count:,} {'watches' if count > 1 else 'watch'}"
        found.rates.append(Rate(case, name, statistics.median(each) * 1e3, "ms"))
        found.rates.append(
            Rate(case, f"{name}, the last of all", statistics.median(last[name, count]) * 1e3, "ms")
        )
    for count in WATCHES[1:]:
        value = ratios(latencies[OURS, count], latencies[OURS, 1])
        goal = MOST if count == max(WATCHES) else None
        found.findings.append(Finding(f"{count:,} watches", "of one watch", value, at_most=goal))
    names = dict.fromkeys(name for name, _ in latencies)
    found.plots = [
        Plot(
            "watches",
            "From the put to the event",
            "watches on one client, each of a key of its own",
            "milliseconds, median",
            [
                Line(
                    name,
                    [(count, statistics.median(latencies[name, count]) * 1e3) for count in WATCHES],
                )
                for name in names
            ],
            "The milliseconds from a put to its event, with 1 to 1,000 watches on the client",
        )
    ]
    return found
