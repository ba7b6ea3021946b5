"""Many leases of ten seconds kept alive: processor time, and whether any is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from findings import Finding, Line, Outcome, Plot, Rate
from settings import OURS, Settings, say
from spread import spread
from workers import started_for

from etcd_testing import EtcdServer

__all__ = ["measure"]

WORKER = Path(__file__).with_name("leases_worker.py")
LEASES = (100, 1_000, 10_000)
TTL = 10
SECONDS = 60
MOST_OF_A_CORE = 0.15


async def measure(settings: Settings) -> Outcome:
    """Keep all numbers of leases alive at the same time, each in a process of its own."""
    counts = LEASES[: settings.either(3, 2)]
    seconds = settings.either(SECONDS, 12)

    async def keep(server: EtcdServer, count: int) -> list[float]:
        async with started_for([OURS], WORKER, server.endpoint) as workers:
            return await workers[OURS].numbers(count, TTL, seconds)

    say(f"{', '.join(f'{count:,}' for count in counts)} leases for {seconds} s")
    async with EtcdServer() as server:
        kept = await asyncio.gather(*(keep(server, count) for count in counts))
    found = Outcome(
        "Leases kept alive",
        f"Leases of {TTL} s are kept alive for {seconds} s by one client. Lost are those of which"
        " the client says so, or that the server does not have at the end.",
    )
    for count, (share, lost, granting) in zip(counts, kept, strict=True):
        case = f"{count:,} leases"
        most = MOST_OF_A_CORE if count == max(LEASES) else None
        found.rates.append(Rate(case, "granted in", granting, "s"))
        found.findings += [
            Finding(case, "of a core", spread([share]), at_most=most),
            Finding(case, "lost", spread([lost]), at_most=0),
        ]
    found.plots = [
        Plot(
            "leases",
            "Keeping leases of 10 s alive",
            "leases on one client",
            "percent of a core",
            [Line(OURS, [(n, 100 * each[0]) for n, each in zip(counts, kept, strict=True)])],
            "The share of a processor core that 100 to 10,000 leases of ten seconds take",
        )
    ]
    return found
