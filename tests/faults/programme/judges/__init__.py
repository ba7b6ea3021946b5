"""The judges: each looks at one promise, in a history and in the replayed truth."""

from __future__ import annotations

from collections.abc import Callable

from programme.history import History
from programme.judges import (
    leases,
    left,
    locks,
    order,
    reads,
    recipes,
    recovery,
    register,
    scenarios,
    truth,
    watches,
    writes,
)
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["JUDGES", "Verdict", "judge_all"]

JUDGES: dict[str, Callable[[History, Replay], Verdict]] = {
    "truth": truth.judge,
    "writes": writes.judge,
    "order": order.judge,
    "register": register.judge,
    "reads": reads.judge,
    "watches": watches.judge,
    "leases": leases.judge,
    "locks": locks.judge,
    "recipes": recipes.judge,
    "left": left.judge,
    "recovery": recovery.judge,
    "scenarios": scenarios.judge,
}


def judge_all(history: History) -> dict[str, Verdict]:
    """Let every judge look at a history."""
    replay = Replay(history)
    return {name: judge(history, replay) for name, judge in JUDGES.items()}
