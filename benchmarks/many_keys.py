"""Keys per second of operations with many keys, by aetcd's single puts and Go's transactions."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from findings import Finding, Line, Outcome, Plot, Rate
from settings import OURS, Settings, command_of, say
from spread import ratios
from workers import Worker, started

from etcd_testing import EtcdServer

__all__ = ["measure"]

WORKER = Path(__file__).with_name("many_keys_worker.py")
KEYS, ROUNDS = 100_000, 7
# aetcd is given fewer keys: its puts take as long for each.
AETCD_KEYS = 10_000
GO_IN_FLIGHT = 8
# (what, by what, the lowest allowed ratio)
GOALS = [
    ("put_many", "aetcd", 10.0),
    ("put_many", "Go", 0.8),
    ("get_many", "put_many", 1.0),
]
SIZES, SIZE_ROUNDS = (1_000, 10_000, 100_000, 300_000), 3

Way = Callable[[int], Awaitable[float]]
"""Returns the keys per second for so many keys."""


@asynccontextmanager
async def all_ways(settings: Settings, server: EtcdServer) -> AsyncIterator[dict[str, Way]]:
    """All that writes or reads keys; what reads comes after what writes them."""
    async with AsyncExitStack() as stack:

        async def worker(client: str) -> Worker:
            command = command_of(client)
            return await stack.enter_async_context(
                started(*command, str(WORKER), server.endpoint, client)
            )

        def by(worker: Worker, operation: str) -> Way:
            async def run(keys: int) -> float:
                return keys / await worker.work(operation, keys)

            return run

        ways: dict[str, Way] = {}
        if "aetcd" in settings.peers:
            ways["aetcd"] = by(await worker("aetcd"), "put")
        if (go := settings.go) is not None:

            async def go_puts(keys: int) -> float:
                took = await go.run(server.endpoint, "txn", keys, GO_IN_FLIGHT)
                return keys / took.seconds

            ways["Go"] = go_puts
        ours = await worker(OURS)
        ways["put_many"] = by(ours, "put")
        ways["get_many"] = by(ours, "get")
        ways["scan_prefix"] = by(ours, "scan")
        ways["one raw Range"] = by(ours, "range")
        yield ways


async def measure(settings: Settings) -> Outcome:
    keys, rounds = settings.either(KEYS, 5_000), settings.either(ROUNDS, 2)
    found = Outcome(
        "Many keys",
        "Keys with values of 64 bytes; keys per second. `put_many` and `get_many` have their"
        " default arguments; aetcd has 64 `put` in flight, Go's clientv3 has 8 transactions of 100"
        " puts in flight. The raw Range is one call of `grpc.aio`, whose keys are iterated over as"
        " those of the scan are. The rows by size are rounds of their own, without aetcd.",
    )
    rates: dict[str, list[float]] = defaultdict(list)
    async with EtcdServer() as server, all_ways(settings, server) as ways:
        for number in range(rounds + 1):
            say(f"{keys:,} keys, round {number} of {rounds}")
            for name, run in ways.items():
                rate = await run(min(keys, AETCD_KEYS) if name == "aetcd" else keys)
                # The first round only warms everything up.
                if number:
                    rates[name].append(rate)
    case = f"{keys:,} keys"
    for name, each in rates.items():
        found.rates.append(Rate(case, name, statistics.median(each), "/s"))
    for one, other, least in GOALS:
        if one in rates and other in rates:
            value = ratios(rates[one], rates[other])
            found.findings.append(Finding(case, f"{one} / {other}", value, at_least=least))
    found.plots.append(await by_size(settings, found))
    return found


async def by_size(settings: Settings, found: Outcome) -> Plot:
    """Measure all but aetcd's single puts by the number of keys."""
    sizes = SIZES[:2] if settings.quick else SIZES
    rates: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with EtcdServer() as server, all_ways(settings, server) as ways:
        ways.pop("aetcd", None)
        for size in (sizes[0], *sizes):
            say(f"{size:,} keys")
            for _ in range(1 if size > 100_000 else SIZE_ROUNDS):
                for name, run in ways.items():
                    rates[name][size].append(await run(size))
    names = [name for name in rates if name != "Go"] + [name for name in rates if name == "Go"]
    for size in sizes:
        found.rates += [
            Rate(f"{size:,} keys, by size", name, statistics.median(rates[name][size]), "/s")
            for name in names
        ]
    return Plot(
        "keys",
        "Many keys",
        "keys",
        "keys per second",
        [
            Line(
                "Go, transactions" if name == "Go" else name,
                [(size, statistics.median(rates[name][size])) for size in sizes],
            )
            for name in names
        ],
        "Keys per second of put_many, get_many and scans, with 1,000 to 300,000 keys",
    )
