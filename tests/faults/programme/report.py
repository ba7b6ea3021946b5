"""The report of a programme: Markdown for people."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from programme.found import KINDS, OTHER, Judged, by_kind
from programme.probes import PROBES
from programme.table import HEAD, ROWS, cells
from programme.yardstick import Measured

__all__ = ["Caught", "report"]


@dataclass
class Caught:
    """A run with a mechanism switched off."""

    mechanism: str
    without: str
    judge: str
    problems: int
    first: str


def report(runs: list[Judged], caught: list[Caught], measured: Sequence[Measured] = ()) -> str:
    """The whole report."""
    parts = ["# What the fault programme found\n", _runs(runs), _rows(runs), _judges(runs)]
    parts.append(_times(runs))
    if measured:
        parts.append(_yardstick(measured))
    if caught:
        parts.append(_caught(runs, caught))
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines: list[list[object]] = [[*head], ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _runs(runs: list[Judged]) -> str:
    rows: list[list[object]] = []
    for run in runs:
        about, operations = run.history.about, run.history.operations
        rows.append(
            [
                about["etcd"],
                about["seed"],
                f"{about['took']:.0f} s",
                len(run.history.faults),
                len(operations),
                sum(each.outcome == "definite" for each in operations),
                sum(each.outcome == "indefinite" for each in operations),
                sum(len(r.events) for w in run.history.watches for r in w.responses),
                *by_kind(run.problems).values(),
            ]
        )
    head = ["etcd", "seed", "took", "faults", "operations", "failed", "unknown", "watched events"]
    return "## Runs\n\n" + _table([*head, *KINDS, OTHER], rows)


def _rows(runs: list[Judged]) -> str:
    etcds = ", ".join(str(run.history.about["etcd"]) for run in runs)
    said = (
        f"## What was injected\n\nOn etcd {etcds}, together. The operations are those that were "
        "in progress meanwhile. Where tests of the suite hold a row, they are named below.\n\n"
    )
    tests = "".join(f"- {row.name}: {_named(row.tests)}\n" for row in ROWS if row.tests)
    seen = "".join(
        f"- {scenario.name}, etcd {run.history.about['etcd']}: {scenario.saw}\n"
        for run in runs
        for scenario in run.history.scenarios
        if scenario.saw
    )
    return said + _table(HEAD, [cells(row, runs) for row in ROWS]) + "\n" + tests + "\n" + seen


def _named(tests: tuple[str, ...]) -> str:
    """The names of tests, by their files."""
    files: dict[str, list[str]] = {}
    for test in tests:
        path, _, name = test.partition("::")
        files.setdefault(path, []).append(f"`{name}`")
    return "; ".join(f"`{path}`: {', '.join(names)}" for path, names in files.items())


def _judges(runs: list[Judged]) -> str:
    rows: list[list[object]] = []
    for name, verdict in runs[0].verdicts.items():
        checked = sum(run.verdicts[name].checked for run in runs) or "**NOTHING**"
        wrong = sum(len(run.verdicts[name].problems) for run in runs)
        rows.append([verdict.name, checked, wrong])
    problems = [problem for run in runs for problem in run.problems]
    problems += [
        f"known, by a defect of etcd {run.history.about['etcd']}: {known}"
        for run in runs
        for verdict in run.verdicts.values()
        for known in verdict.known
    ]
    listed = "".join(f"- {problem}\n" for problem in problems[:50])
    return "## Judges\n\n" + _table(["judge", "checked", "wrong"], rows) + listed


def _times(runs: list[Judged]) -> str:
    faults = [fault for run in runs for fault in run.history.faults if fault.recovery]
    rows: list[list[object]] = []
    for name in sorted({fault.name for fault in faults}):
        these = [fault for fault in faults if fault.name == name]
        cells: list[object] = []
        for probe in PROBES:
            times = [fault.recovery[probe] for fault in these]
            cells.append(f"{statistics.median(times):.2f} ({max(times):.2f})")
        rows.append([name, len(these), *cells])
    said = (
        "## Times\n\nSeconds from a fault until a client that knows all members is served again, "
        "the median and the longest in brackets: the longest time without a success. Most faults "
        "are of the member that the client uses.\n\n"
    )
    return said + _table(["fault", "times", *PROBES], rows)


def _yardstick(measured: Sequence[Measured]) -> str:
    rows: list[list[object]] = []
    for each in measured:
        history = each.judged.history
        found = by_kind(each.judged.problems)
        outcomes = Counter(operation.outcome for operation in history.operations)
        rows.append(
            [
                *(each.row, each.client, history.about["etcd"], len(history.faults)),
                *(len(history.operations), outcomes["definite"], outcomes["indefinite"]),
                *(found["lost"], found["repeated"], f"{each.longest_gap:.1f} s"),
                sum(len(r.events) for w in history.watches for r in w.responses),
                *(each.reopened, found["silent"]),
            ]
        )
    head = ["", "client", "etcd", "faults", "writes", "failed", "unknown", "lost", "repeated"]
    head += ["longest without a write", "watched events", "watches ended by errors"]
    head += ["events missed in silence"]
    said = (
        "## The yardstick\n\nOne program on two clients at the same time, on one cluster. Each of "
        "its connections knows one member, because aetcd cannot know more. No error of aetcd says "
        "whether a write had an effect. A watch that ended by an error was opened again by the "
        "program; one that only stopped delivering was not.\n\n"
    )
    return said + _table(head, rows)


def _caught(runs: list[Judged], caught: list[Caught]) -> str:
    rows: list[list[object]] = []
    for each in caught:
        good = sum(len(run.verdicts[each.judge].problems) for run in runs)
        found = each.problems or "**NOT CAUGHT**"
        rows.append([each.mechanism, each.without, each.judge, good, found])
    head = ["mechanism", "switched off", "judge", "problems with it", "without it"]
    return "## The judges, judged\n\n" + _table(head, rows)
