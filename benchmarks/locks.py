"""Contenders for one lock, each with a client of its own; a free mutex, with puts."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from pathlib import Path

from findings import Finding, Line, Outcome, Plot, Rate
from settings import OURS, Settings, say
from spread import Spread, ratios, spread
from workers import Worker, started_for

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock import Mutex, Session
from etcd_testing import EtcdServer

__all__ = ["measure"]

LOCK_WORKER = Path(__file__).with_name("lock_worker.py")
MUTEX_WORKER = Path(__file__).with_name("mutex_worker.py")
# The rounds by the number of contenders: aetcd's time grows with its square.
LOCK_ROUNDS = {50: 6, 200: 3}
MOST_OF_AETCD = 0.1
MUTEX_CONTENDERS = (10, 50, 100, 200)
MUTEX_ROUNDS = 5
MOST_OF_GO = 2.0
# Flat: by the same waiters' hand-off among ten.
MOST_HAND_OFF = 1.5
# Two round trips are two puts, beside the larger messages; four were two and a half.
MOST_OF_PUTS = 2.0
REPETITIONS = 100


async def measure(settings: Settings) -> Outcome:
    found = Outcome(
        "Locks",
        "Contenders with a client each want the same lock, until each had it once: the documented"
        " `Lock`, which aetcd has too, and `Mutex`, each with a session of its own that is"
        " opened and closed in that time, as in Go. A hand-off is the time from one `acquire` to"
        " that of the next in the queue, while all of the others wait.",
    )
    async with EtcdServer() as server:
        await documented(settings, server, found)
    async with EtcdServer() as server, started_for([OURS], MUTEX_WORKER, server.endpoint) as ours:
        await mutexes(settings, server, ours[OURS], found)
    async with EtcdServer() as server:
        of_puts = await free_mutex(server, settings.either(10, 2))
    found.findings.append(
        Finding("a free mutex", "acquire and release / two puts", of_puts, at_most=MOST_OF_PUTS)
    )
    return found


async def documented(settings: Settings, server: EtcdServer, found: Outcome) -> None:
    """Measure the documented lock with both in alternating rounds."""
    address = server.endpoint.rsplit(":", 1)
    cases = {50: 2} if settings.quick else LOCK_ROUNDS
    async with (
        Channel(server.endpoint) as channel,
        started_for(settings.sides, LOCK_WORKER, *address) as workers,
    ):
        leases = LeaseClient(channel)
        for contenders, rounds in cases.items():
            case = f"Lock, {contenders} contenders"
            seconds: dict[str, list[float]] = defaultdict(list)
            left: dict[str, list[int]] = defaultdict(list)
            for number in range(rounds):
                say(f"{case}, round {number + 1} of {rounds}")
                for name, worker in workers.items():
                    before = len(await leases.leases())
                    took = await worker.work(f"{name}/{contenders}/{number}", contenders)
                    seconds[name].append(took)
                    left[name].append(len(await leases.leases()) - before)
            for name, each in seconds.items():
                found.rates.append(Rate(case, name, statistics.median(each), "s"))
            if "aetcd" in seconds:
                ratio = ratios(seconds[OURS], seconds["aetcd"])
                found.findings.append(Finding(case, "ours / aetcd", ratio, at_most=MOST_OF_AETCD))
            found.findings.append(
                Finding(case, "leases left", spread_of(left[OURS]), at_most=0),
            )


def spread_of(counts: list[int]) -> Spread:
    """The worst counts: no lease is left in any round."""
    return spread([max(counts)])


async def mutexes(settings: Settings, server: EtcdServer, ours: Worker, found: Outcome) -> None:
    """Measure Mutex in alternation with Go's, then its hand-offs by the number of waiters."""
    seconds: dict[str, dict[int, list[float]]] = {"Mutex": defaultdict(list)}
    hand_offs: dict[int, list[float]] = defaultdict(list)
    if settings.go is not None:
        seconds["Go"] = defaultdict(list)
    for number in range(settings.either(MUTEX_ROUNDS, 2)):
        say(f"Mutex, round {number + 1}")
        for count in MUTEX_CONTENDERS:
            took = await ours.work("contend", f"contend/{count}/{number}", count)
            seconds["Mutex"][count].append(took)
            if settings.go is not None:
                went = await settings.go.run(server.endpoint, "mutex", count)
                seconds["Go"][count].append(went.seconds)
        for count in MUTEX_CONTENDERS:
            hand_off = await ours.work("hand-off", f"hand-off/{count}/{number}", count)
            hand_offs[count].append(hand_off)
    fewest = min(MUTEX_CONTENDERS)
    for count in MUTEX_CONTENDERS:
        case = f"Mutex, {count} contenders"
        for name, each in seconds.items():
            found.rates.append(Rate(case, name, statistics.median(each[count]), "s"))
        hand_off = statistics.median(hand_offs[count]) * 1e3
        found.rates.append(Rate(case, "a hand-off", hand_off, "ms"))
        if "Go" in seconds:
            ratio = ratios(seconds["Mutex"][count], seconds["Go"][count])
            found.findings.append(Finding(case, "ours / Go", ratio, at_most=MOST_OF_GO))
        if count > fewest:
            flat = ratios(hand_offs[count], hand_offs[fewest])
            goal = MOST_HAND_OFF if count == max(MUTEX_CONTENDERS) else None
            found.findings.append(Finding(case, f"hand-off / {fewest}'s", flat, at_most=goal))
    lines = [
        Line(name, [(count, statistics.median(each[count]) / count * 1e3) for count in each])
        for name, each in seconds.items()
    ]
    lines.append(
        Line(
            "Mutex, hand-off only",
            [(count, statistics.median(each) * 1e3) for count, each in hand_offs.items()],
        )
    )
    found.plots.append(
        Plot(
            "locks",
            "Mutex: session, turn and release",
            "contenders, with a client each",
            "milliseconds for each contender",
            lines,
            "Milliseconds for each of 10 to 200 contenders for a mutex, ours and Go's",
        )
    )


async def free_mutex(server: EtcdServer, rounds: int) -> Spread:
    """Measure acquiring and releasing a free mutex, alternating with two puts."""
    locking: list[float] = []
    putting: list[float] = []
    async with Channel(server.endpoint) as channel:
        kv = KVClient(channel)
        async with Session(channel) as session:
            mutex = Mutex(session, b"mutex")

            async def lock() -> None:
                await mutex.acquire()
                await mutex.release()

            async def put() -> None:
                await kv.put(b"key", b"value")
                await kv.put(b"key", b"value")

            for _ in range(rounds):
                for work, seconds in ((lock, locking), (put, putting)):
                    began = time.perf_counter()
                    for _ in range(REPETITIONS):
                        await work()
                    seconds.append(time.perf_counter() - began)
    return ratios(locking, putting)
