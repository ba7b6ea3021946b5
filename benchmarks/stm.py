"""Increments per second by `stm`, of 64 tasks on 10 keys, beside Go's `concurrency.NewSTM`."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

from findings import Finding, Outcome, Rate
from settings import OURS, Settings, say
from spread import ratios
from workers import started_for

from etcd_testing import EtcdServer

__all__ = ["measure"]

WORKER = Path(__file__).with_name("stm_worker.py")
INCREMENTS, ROUNDS = 5_000, 5
TASKS = 64
LEAST = 0.8
"""The lowest allowed ratio to Go's client."""


async def measure(settings: Settings) -> Outcome:
    count, rounds = settings.either(INCREMENTS, 500), settings.either(ROUNDS, 2)
    rates: dict[str, list[float]] = defaultdict(list)
    async with EtcdServer() as server, started_for([OURS], WORKER, server.endpoint) as workers:
        for number in range(rounds + 1):
            say(f"round {number} of {rounds}")
            found = {"stm": count / await workers[OURS].work("increment", count)}
            if settings.go is not None:
                took = await settings.go.run(server.endpoint, "stm", count, TASKS)
                found["Go"] = count / took.seconds
            if number:  # the first round only warms everything up
                for name, rate in found.items():
                    rates[name].append(rate)
    case = f"{count:,} increments"
    outcome = Outcome(
        "Transactions that retry",
        f"Increments of 10 keys by {TASKS} tasks, each a transaction of `stm` that reads its key"
        " and puts it, with default arguments, by Go's `concurrency.NewSTM` with the same.",
        [Rate(case, name, statistics.median(each), "/s") for name, each in rates.items()],
    )
    if "Go" in rates:
        value = ratios(rates["stm"], rates["Go"])
        outcome.findings.append(Finding(case, "stm / Go", value, at_least=LEAST))
    return outcome
