"""The results in the documentation: kept as JSON, shown as tables and plots.

A run of some scenarios replaces their results and keeps those of the others, each with the date and
the versions of its own run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from findings import Finding, Line, Outcome, Plot, Rate
from plots import svg
from spread import Spread

__all__ = ["draw", "keep", "markdown"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "img" / "bench"
BEGIN = "<!-- bench: what follows is written by `python3 tools/dev.py bench --write` -->"
END = "<!-- bench: end -->"


def keep(outcomes: Mapping[str, Outcome], facts: Mapping[str, str]) -> None:
    """Put the results into `results.json`, beside those of other scenarios."""
    known = load()
    for name, outcome in outcomes.items():
        known[name] = {"facts": dict(facts), **dataclasses.asdict(outcome)}
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def load() -> dict[str, Any]:
    known: dict[str, Any] = {}
    if RESULTS.exists():
        known = json.loads(RESULTS.read_text(encoding="utf-8"))
    return known


def draw(order: list[str]) -> None:
    """Write the part of the page between the markers, and the plots, from `results.json`."""
    known = load()
    kept = [(outcome_of(known[name]), known[name]["facts"]) for name in order if name in known]
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(kept)}\n{END}{after}", encoding="utf-8")
    PLOTS.mkdir(parents=True, exist_ok=True)
    for outcome, _ in kept:
        for plot in outcome.plots:
            (PLOTS / f"{plot.file}.svg").write_text(svg(plot), encoding="utf-8")


def outcome_of(kept: Mapping[str, Any]) -> Outcome:
    def finding(fields: dict[str, Any]) -> Finding:
        return Finding(**{**fields, "value": Spread(**fields["value"])})

    def plot(fields: dict[str, Any]) -> Plot:
        lines = [Line(one["client"], [(x, y) for x, y in one["points"]]) for one in fields["lines"]]
        return Plot(**{**fields, "lines": lines})

    return Outcome(
        kept["title"],
        kept["method"],
        [Rate(**one) for one in kept["rates"]],
        [finding(one) for one in kept["findings"]],
        [plot(one) for one in kept["plots"]],
    )


def markdown(kept: list[tuple[Outcome, dict[str, str]]]) -> str:
    """The results of all scenarios; the facts they share are shown once."""
    if not kept:
        return ""
    newest = max((facts for _, facts in kept), key=lambda facts: facts["date"])
    parts = [table(["", ""], [[name, value] for name, value in newest.items()])]
    for outcome, facts in kept:
        parts.append(f"## {outcome.title}")
        parts.append(outcome.method)
        if other := {name: value for name, value in facts.items() if newest.get(name) != value}:
            parts.append(f"*{'; '.join(f'{name}: {value}' for name, value in other.items())}*")
        parts += [f"![{plot.alt}](img/bench/{plot.file}.svg)" for plot in outcome.plots]
        if outcome.rates:
            parts.append(rates(outcome.rates))
        if outcome.findings:
            rows = [
                [one.case, one.what, one.shown, one.target, one.verdict] for one in outcome.findings
            ]
            parts.append(table(["case", "what", "median [quartiles]", "target", ""], rows))
    return "\n\n".join(parts) + "\n"


def rates(found: list[Rate]) -> str:
    """A row for each case and a column for each client."""
    clients = list(dict.fromkeys(rate.client for rate in found))
    cases = list(dict.fromkeys(rate.case for rate in found))
    shown = {(rate.case, rate.client): str(rate) for rate in found}
    rows = [[case, *(shown.get((case, client), "") for client in clients)] for case in cases]
    return table(["", *clients], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
