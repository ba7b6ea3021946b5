"""What README.md says of the speed is what docs/performance.md shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS: dict[str, Any] = json.loads(
    (ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8")
)
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def medians(scenario: str, what: str) -> list[float]:
    """Those of one ratio in all cases, the lowest first."""
    return sorted(
        finding["value"]["median"]
        for finding in RESULTS[scenario]["findings"]
        if finding["what"] == what
    )


def said(sentence: str) -> list[str]:
    """The numbers in the one place of the README that the pattern matches."""
    (found,) = re.finditer(sentence, README)
    return list(found.groups())


def test_the_readme_has_the_ratios_to_bare_grpc() -> None:
    ratios = medians("throughput", "ours / grpc.aio")
    assert said(r"reach ([\d.]+) to ([\d.]+) of the calls per second of bare `grpc\.aio`") == [
        f"{ratios[0]:.2f}",
        f"{ratios[-1]:.2f}",
    ]


def test_the_readme_has_the_ratios_of_coalesced_calls_to_bare_grpc() -> None:
    ratios = medians("throughput", "ours, coalesced / grpc.aio")
    assert said(r"reach (\d+) to (\d+) times as many") == [f"{ratios[0]:.0f}", f"{ratios[-1]:.0f}"]


def test_the_readme_has_the_ratio_of_put_many_to_aetcd() -> None:
    (ratio,) = medians("bulk", "put_many / aetcd")
    assert said(r"`put_many` writes (\d+) times as many keys per second") == [f"{ratio:.0f}"]


def test_the_readme_has_the_times_of_a_failover() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    times = [
        f"{float(median):.1f}"
        for row in ("process killed", r"process stopped \(SIGSTOP\)")
        for median in re.findall(rf"^\| {row} \| ([\d.]+) / ", page, re.MULTILINE)
    ]
    assert said(r"([\d.]+) s after its member was killed, ([\d.]+) s after it fell silent") == times
