"""One run: the cluster, the traffic, the faults and the truth, into a history."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio

from etcd_client import Client, ClientError, Put
from programme.connecting import connected
from programme.follower import Follower
from programme.history import History, Operation
from programme.holders import LOCK, LeaseHolder, LockHolder
from programme.injector import FAULTS, Injector, injector
from programme.judges.recovery import LONGEST
from programme.leftovers import descriptors, leases_left, note_grant, ours_left, watchers_left
from programme.ours import Ours
from programme.probes import Probes
from programme.processes import signalled
from programme.recipes import RecipeUser, recipes_left
from programme.recorder import Clock, Recorder
from programme.scenarios import Setting, play
from programme.traffic import KEYS, Traffic
from programme.truth import Truth

__all__ = ["Plan", "run"]

_PINNED = 6
_FREE = 2
_OURS = 3
_COALESCED = 3
_RECIPES = 4
_HOLDERS = 5  # One for each member, which knows only that, and two that know all.
_COMPACT_EVERY = 0.2
_END = "end"
_HANGS = 120.0
"""Seconds without faults after which a call hangs: far more than any timeout of the traffic."""


@dataclass(frozen=True)
class Plan:
    """What a run does; with the seed it determines the choices, though not their timing."""

    seed: int
    seconds: float = 20.0
    faults: tuple[str, ...] = FAULTS
    bin_dir: Path | None = None
    pause: float = 0.03
    """Seconds between two calls of one client."""
    timeout: float = 1.0
    """Seconds for a call of the traffic."""
    lasts: tuple[float, float] | None = None
    """Seconds that every fault lasts; None for what is right for its kind."""
    longest: float = LONGEST
    """Seconds after a fault in which every kind of call must be served again."""
    aim: float = 0.7
    """How often a fault is of the member that the probes use."""
    compact: bool = True
    watchers: int = 8
    followers: bool = True
    """Also watches that live as long as the run."""
    processes: bool = True
    """Also a client process that is stopped and killed."""
    ours: bool = True
    """Also what this client adds to etcd's calls."""
    recipes: bool = True
    """Also a counter, a queue and a work queue."""
    outage: float | None = None
    """Also the scenarios, in one of which all members are down for so many seconds."""


async def run(plan: Plan, history: History) -> None:
    """Run a plan into a history, in which nothing has been judged yet."""
    clock = Clock()
    recorder = Recorder(history, clock)
    history.about.update(seed=plan.seed, seconds=plan.seconds, faults=list(plan.faults))
    history.about.update(scenarios=plan.outage is not None, longest=plan.longest)
    history.about.update(recipes=plan.recipes)
    async with grpc.aio.insecure_channel("unix:/nobody/listens") as kept:
        # gRPC keeps some descriptors for all channels of a process, so there is always one.
        kept.get_state(try_to_connect=True)
        await asyncio.sleep(0.2)
        tasks, open_now = asyncio.all_tasks(), descriptors()
        async with injector(history, clock, bin_dir=plan.bin_dir) as rig:
            async with Truth(rig.cluster.members, history, clock) as truth:
                async with connected(rig.cluster.endpoints) as direct:
                    await _work(plan, rig, recorder, direct)
                    await _see_the_end(recorder, direct, truth)
                    await leases_left(history, direct)
        if plan.outage is not None:
            with tempfile.TemporaryDirectory() as directory:
                await play(history, Setting(plan.bin_dir, Path(directory), plan.outage))
        await ours_left(history, tasks, open_now)
    history.about["took"] = clock()


async def _work(plan: Plan, rig: Injector, recorder: Recorder, direct: Client) -> None:
    """The traffic, with the faults meanwhile."""
    async with AsyncExitStack() as stack:
        ends = _endpoints(rig)
        traffic: list[Traffic] = []
        watched = partial(connected, on_failed_attempt=partial(note_grant, recorder.history))

        def add(kind: type[Traffic], name: str, client: Client) -> None:
            choice = random.Random(f"{plan.seed}/{name}")
            traffic.append(
                kind(name, client, recorder, choice, pause=plan.pause, timeout=plan.timeout)
            )

        for number, endpoints in enumerate(ends):
            client = await stack.enter_async_context(watched(endpoints))
            add(Traffic, f"c{number}", client)
        if plan.ours:
            for number, endpoints in enumerate(ends[-_OURS:]):
                client = await stack.enter_async_context(watched(endpoints))
                add(Ours, f"ours{number}", client)
            client = await stack.enter_async_context(watched(ends[-1]))
            for number in range(_COALESCED):
                add(Traffic, f"coalesced{number}", client.coalescing())
        probes = Probes(
            await stack.enter_async_context(connected(rig.endpoints(1), timeout=1.0)),
            direct,
            recorder,
            plan.longest,
        )
        holders = [
            kind(
                f"{kind.__name__}{number}",
                await stack.enter_async_context(connected(endpoints)),
                recorder,
                random.Random(f"{plan.seed}/{kind.__name__}/{number}"),
            )
            for kind in (LeaseHolder, LockHolder)
            for number, endpoints in enumerate(ends[-_HOLDERS:])
        ]
        users: list[RecipeUser] = []
        for number, endpoints in enumerate(ends[-_RECIPES:] if plan.recipes else []):
            client = await stack.enter_async_context(connected(endpoints))
            choice = random.Random(f"{plan.seed}/recipes/{number}")
            users.append(RecipeUser(f"recipes{number}", client, recorder, choice))
        working = (*traffic, *holders, *users)
        calling = [asyncio.create_task(one.run(), name=one.name) for one in working]
        calling += [
            asyncio.create_task(
                traffic[number % len(ends)].watch_shortly(), name=f"short watches {number}"
            )
            for number in range(plan.watchers)
        ]
        followers: list[Follower] = []
        if plan.followers:
            for number, endpoints in enumerate((ends[0], ends[-1])):
                client = await stack.enter_async_context(connected(endpoints))
                followers.append(Follower(f"follower{number}", client, recorder))
        following = [asyncio.create_task(one.run()) for one in followers]
        try:
            async with AsyncExitStack() as aside:
                beside = [await aside.enter_async_context(_beside(probes.run()))]
                if plan.processes:
                    choice = random.Random(f"{plan.seed}/process")
                    claiming = signalled("process", LOCK, rig.endpoints(0), recorder, choice)
                    await aside.enter_async_context(claiming)
                if plan.compact:
                    compacting = _compact(plan, recorder, direct, traffic)
                    beside.append(await aside.enter_async_context(_beside(compacting)))
                tasks = [*calling, *following, *beside]
                await _strike(plan, rig, recorder.clock, probes, tasks)
        finally:
            # If the run breaks, a cancellation is not enough: a holder that fails to release its
            # lock raises that failure in its place.
            for one in working:
                one.stopping = True
        await _ended(calling)
        if users:
            await recipes_left(recorder, direct)
        last = await _put(recorder, direct, KEYS[0])
        for follower in followers:
            await follower.stop(last)
        await asyncio.gather(*following)
        await watchers_left(recorder.history, rig)


def _endpoints(rig: Injector) -> list[list[str]]:
    """As in etcd's tests: most clients know one member, some know all."""
    all_of_them = rig.endpoints(0)
    pinned = [[all_of_them[number % len(all_of_them)]] for number in range(_PINNED)]
    return pinned + [all_of_them] * _FREE


async def _ended(calling: Iterable[asyncio.Task[None]]) -> None:
    """Wait until all tasks of the traffic have ended, none of which may hang."""
    ended, hanging = await asyncio.wait(calling, timeout=_HANGS)
    for task in ended:
        task.result()
    if hanging:
        names = ", ".join(sorted(task.get_name() for task in hanging))
        raise RuntimeError(f"after {_HANGS:.0f} s without faults, still calling: {names}")


async def _strike(
    plan: Plan,
    rig: Injector,
    clock: Clock,
    probes: Probes,
    beside: Iterable[asyncio.Task[None]],
) -> None:
    """One fault after the other, each on the member that the probes use or on any.

    Raises the error of what runs beside it: without some of the traffic the run shows less.
    """
    choice = random.Random(plan.seed)
    rig.lasts = plan.lasts
    until = clock() + plan.seconds
    faults: list[str] = []
    while clock() < until:
        for task in beside:
            if task.done():
                task.result()
        rig.note_bytes()
        await asyncio.sleep(choice.uniform(0.5, 1.0))
        if not plan.faults:
            continue
        if not faults:
            faults = choice.sample(plan.faults, len(plan.faults))
        member = rig.in_use() if choice.random() < plan.aim else rig.random_member(choice)
        await rig.inject(faults.pop(), member, choice.random(), probes)


async def _compact(plan: Plan, recorder: Recorder, client: Client, traffic: list[Traffic]) -> None:
    choice = random.Random(f"{plan.seed}/compact")
    last = 1
    while True:
        await asyncio.sleep(_COMPACT_EVERY)
        newest = max(one.revision for one in traffic)
        revision = choice.randint(last, max(last, newest) + 4)

        def result(operation: Operation, answer: object, revision: int = revision) -> None:
            nonlocal last
            last = max(last, revision)

        operation = Operation("compaction", "compact", 0, at=revision)
        with contextlib.suppress(ClientError):
            await recorder.call(operation, partial(client.compact, revision, timeout=1.0), result)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run something until the block ends; its error is raised then."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _see_the_end(recorder: Recorder, direct: Client, truth: Truth) -> None:
    """Wait until every member has reported all that was written."""
    await asyncio.wait_for(truth.until(await _put(recorder, direct, _END)), 60.0)


async def _put(recorder: Recorder, direct: Client, key: str) -> int:
    """Put a key until that is acknowledged; return its revision."""
    revision = 0

    def result(operation: Operation, answer: Put) -> None:
        nonlocal revision
        operation.revision = revision = answer.header.revision

    while not revision:
        value = recorder.value(_END)
        await recorder.call(
            Operation(_END, "put", 0, writes={key: value}),
            partial(direct.put, key.encode(), value.encode(), timeout=5.0),
            result,
        )
    return revision
