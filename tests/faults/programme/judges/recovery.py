"""After a fault every kind of call is served again, while the fault lasts or after it."""

from __future__ import annotations

from programme.history import History
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["LONGEST", "judge"]

LONGEST = 60.0
"""Seconds for which the probes wait, if the history has nothing else."""


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("served again")
    longest = history.about.get("longest", LONGEST)
    for fault in history.faults:
        for probe, seconds in fault.recovery.items():
            verdict.checked += 1
            if seconds >= longest:
                verdict.say(f"silent: no {probe} for {seconds:.0f} s after {fault.name}")
    return verdict
