"""Calls of the synchronous client by one and many threads, beside the asynchronous one."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from pathlib import Path

from findings import Finding, Outcome, Rate
from settings import OURS, Settings, say
from spread import ratios
from throughput import WORKER, measure_case
from workers import started

from etcd_testing import EtcdServer

__all__ = ["measure"]

SYNC_WORKER = Path(__file__).with_name("sync_calls_worker.py")
SYNC = "ours, synchronous"
TARGETS = {1: 0.8, 8: None, 64: 0.5}
"""The least ratio, by the number of calls in flight, which is the number of threads."""
CASES = [(operation, in_flight) for operation in ("get", "put") for in_flight in TARGETS]
ROUNDS, STARTS = 24, 3


async def measure(settings: Settings) -> Outcome:
    """Measure all cases in several sets of new processes, as speed differs between processes."""
    rounds, starts = settings.either(ROUNDS, 2), settings.either(STARTS, 1)
    results: dict[tuple[str, int], dict[str, list[float]]] = {
        case: defaultdict(list) for case in CASES
    }
    async with EtcdServer() as server:
        for start in range(starts):
            say(f"get and put by threads, processes {start + 1} of {starts}")
            async with (
                started(sys.executable, str(WORKER), server.endpoint, OURS) as asynchronous,
                started(sys.executable, str(SYNC_WORKER), server.endpoint) as synchronous,
            ):
                clients = {OURS: asynchronous, SYNC: synchronous}
                # So that there is something to get.
                await asynchronous.work(OURS, "put", 8, 1000)
                for case in CASES:
                    await measure_case(case, clients, rounds // starts, results[case])
    return outcome(results)


def outcome(results: dict[tuple[str, int], dict[str, list[float]]]) -> Outcome:
    found = Outcome(
        "Calls of the synchronous client",
        "`get` and `put` of 64 bytes by `etcd_sync.Client`, by the number of threads that share it,"
        " beside the asynchronous client with as many calls in flight; calls per second.",
    )
    for (operation, in_flight), rates in results.items():
        case = f"{operation}, {in_flight} in flight"
        for client, each in rates.items():
            found.rates.append(Rate(case, client, statistics.median(each), "/s"))
        least = TARGETS[in_flight] if operation == "get" else None
        value = ratios(rates[SYNC], rates[OURS])
        found.findings.append(Finding(case, f"{SYNC} / {OURS}", value, at_least=least))
    return found
