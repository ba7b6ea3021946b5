"""Each scenario came out as its client promises; the scenarios judge themselves."""

from __future__ import annotations

from programme.history import History
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["judge"]


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("scenarios", sum(each.operations for each in history.scenarios))
    for scenario in history.scenarios:
        for problem in scenario.problems:
            verdict.say(f"{problem} ({scenario.name})")
    return verdict
