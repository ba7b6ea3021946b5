"""Nothing is left: no lock key, no lease, no watcher on a server, no task, no file descriptor."""

from __future__ import annotations

from programme.history import History
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["judge"]


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("nothing is left", len(history.left))
    for left in history.left:
        if left.count:
            verdict.say(f"{left.count} {left.kind} left {left.what}".rstrip())
    return verdict
