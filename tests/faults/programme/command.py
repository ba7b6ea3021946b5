"""Causes faults under traffic, judges what happened, and reports it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import random
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from programme.broken import BROKEN, Broken
from programme.found import Judged
from programme.history import History
from programme.injector import FAULTS
from programme.judges import Verdict, judge_all
from programme.report import Caught, report
from programme.run import Plan, run
from programme.timeline import timeline
from programme.yardstick import OURS, Measured, measure

__all__ = ["main", "programme"]

_BROKEN_FOR = 4.0
_TRIES = 8
_YARDSTICK = 20.0
_OUTAGE = 10.0
_SECONDS = 20.0
"""Of faults, on each etcd."""
_SHORT = 20.0
_LONG = 3600.0
"""Seconds of faults, on all etcds together."""
_LONG_OUTAGE = _KILLS = 60.0
_KILLED = (0.5, 1.0)
"""Seconds until a member that was killed is started; so one is killed every two seconds or so."""


def main(arguments: list[str]) -> int:
    options = _arguments(arguments)
    if options.judge is not None:
        judged = Judged(history := History.load(options.judge), judge_all(history))
        _print(judged)
        return 1 if judged.problems or judged.idle else 0
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    etcds: list[Path | None] = options.etcd or [None]
    seconds, broken = _SECONDS, [each for each in BROKEN if (options.broken or "") in each.name]
    if options.profile == "short":
        seconds, broken = _SHORT / len(etcds), first_of_each_judge()
    elif options.profile == "long":
        seconds, broken = _LONG / len(etcds), [*BROKEN]
    elif options.broken is None:
        broken = []
    if options.seconds is not None:
        seconds = options.seconds
    long = options.profile == "long"
    outage = None if options.fault else _LONG_OUTAGE if long else _OUTAGE
    plans = [Plan(seed, seconds, tuple(options.fault or FAULTS), outage=outage)]
    if long:
        plans.append(Plan(seed + 1, _KILLS, ("SIGKILL",), lasts=_KILLED))
    yardstick = _YARDSTICK if options.yardstick or long else 0.0
    return 0 if programme(plans, etcds, options.into, broken, yardstick) else 1


def first_of_each_judge() -> list[Broken]:
    """One broken client for each judge."""
    chosen: dict[str, Broken] = {}
    for each in BROKEN:
        chosen.setdefault(each.judge, each)
    return [*chosen.values()]


def programme(
    plans: list[Plan],
    etcds: list[Path | None],
    into: Path,
    broken: list[Broken],
    yardstick: float = 0.0,
) -> bool:
    """Run plans on each etcd, and the broken clients; report; return whether all is right.

    The first plan gives the seed of the rest. `yardstick` is for how many seconds aetcd is under
    faults in each of its rows; 0 for never.
    """
    into.mkdir(parents=True, exist_ok=True)
    # No full collections: the histories have millions of objects, and looking at them all would
    # stop the event loop for half a minute, in which every client seems to be silent.
    gc.set_threshold(700, 10, 1_000_000)
    runs: list[Judged] = []
    for etcd, plan in itertools.product(etcds, plans):
        history = History()
        try:
            asyncio.run(run(replace(plan, bin_dir=etcd), history))
        except BaseException:
            _save(history, into)
            raise
        judged = Judged(history, judge_all(history))
        _print(judged)
        runs.append(judged)
        (into / f"timeline-{_name(history)}.svg").write_text(timeline(history))
        if judged.problems or judged.idle:
            _save(history, into)
    caught: list[Caught] = []
    for each in broken:
        caught.append(_catch(each, replace(plans[0], bin_dir=etcds[-1])))
        print(f"{each.name}: {caught[-1].first}", flush=True)
    measured: list[Measured] = []
    for etcd in etcds if yardstick else []:
        measured += asyncio.run(measure(plans[0].seed, yardstick, etcd))
    for one in measured:
        print(f"{one.row}, {one.client}: {len(one.judged.problems)} wrong", flush=True)
        for verdict in one.judged.verdicts.values():
            print(f"  {verdict}", flush=True)
    (into / "report.md").write_text(report(runs, caught, measured))
    print(f"the report is {into / 'report.md'}")
    wrong = [*_wrong(runs, caught, measured)]
    for line in wrong:
        print(line, flush=True)
    return not wrong


def _wrong(runs: list[Judged], caught: list[Caught], measured: list[Measured]) -> Iterator[str]:
    """Say what makes the programme fail, a line each."""
    ours = [one.judged for one in measured if one.client == OURS]
    for judged in (*runs, *ours):
        for problem in judged.problems:
            yield f"WRONG {_name(judged.history)}: {problem}"
    for judged in (*runs, *(one.judged for one in measured)):
        for judge in judged.idle:
            yield f"WRONG {_name(judged.history)}: the judge {judge!r} had nothing to look at"
    for each in caught:
        if not each.problems:
            yield f"WRONG: {each.judge!r} did not notice: {each.without}"


def _catch(broken: Broken, plan: Plan) -> Caught:
    """Run a broken client until its judge notices; a fault does not meet a write every time."""
    found: list[str] = []
    choice = random.Random(plan.seed)
    for _ in range(_TRIES):
        with broken.switched_off():
            short = replace(plan, seconds=_BROKEN_FOR, seed=choice.randrange(10**6))
            history = History()
            asyncio.run(run(broken.plan(short), history))
        verdict = judge_all(history)[broken.judge]
        found = [problem for problem in verdict.problems if re.match(broken.says, problem)]
        if found:
            break
    first = found[0] if found else "NOT CAUGHT"
    return Caught(broken.mechanism, broken.without, broken.judge, len(found), first)


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 tools/dev.py faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the choices of another run")
    parser.add_argument(
        "--seconds", type=float, help="how long to cause faults on each etcd; 20, or the profile's"
    )
    parser.add_argument(
        "--etcd", type=Path, action="append", metavar="DIR", help="the directory of an etcd"
    )
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this fault")
    parser.add_argument(
        "--broken",
        nargs="?",
        const="",
        metavar="WORD",
        help="also run clients with a mechanism switched off, or those with this word",
    )
    parser.add_argument(
        "--yardstick",
        action="store_true",
        help="also run a program on this client and on aetcd, which is installed for it",
    )
    parser.add_argument(
        "--into", type=Path, default=Path(".cache/faults"), metavar="DIR", help="for the report"
    )
    parser.add_argument(
        "--profile",
        choices=("short", "long"),
        help="some four minutes, or an hour and more, for all etcds, with broken clients",
    )
    parser.add_argument("--judge", type=Path, metavar="FILE", help="judge a history again")
    return parser.parse_args(arguments)


def _name(history: History) -> str:
    return f"{history.about.get('etcd', 'unknown')}-{history.about.get('seed')}"


def _save(history: History, into: Path) -> None:
    """Keep a history for whoever looks for what went wrong."""
    path = into / f"history-{_name(history)}.jsonl"
    history.save(path)
    print(f"the history is {path}", flush=True)


def _print(judged: Judged) -> None:
    history = judged.history
    print(
        f"etcd {history.about['etcd']}, seed {history.about['seed']}: "
        f"{len(history.operations)} operations, {len(history.watches)} watches, "
        f"{len(history.faults)} faults, {len(history.events)} events"
    )
    verdicts: dict[str, Verdict] = judged.verdicts
    for verdict in verdicts.values():
        print(f"  {verdict}", flush=True)
