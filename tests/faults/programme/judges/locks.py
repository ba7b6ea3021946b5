"""No two holders of a lock at the same time, and a set that the lock guards loses nothing."""

from __future__ import annotations

from programme.history import History, Hold
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["GUARDED", "judge"]

GUARDED = "guarded/"
"""The prefix of the guarded sets; each value has all members, in the order of their addition."""


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("locks and what they guard", len(history.holds))
    last: dict[str, Hold] = {}
    for hold in sorted(history.holds, key=lambda each: each.begin):
        before = last.get(hold.lock)
        if before is not None and hold.begin < before.end:
            verdict.say(
                f"two holders: {hold.holder} entered {hold.lock} at {hold.begin:.3f} s, "
                f"{before.holder} was in it until {before.end:.3f} s"
            )
        if before is None or hold.end > before.end:
            last[hold.lock] = hold
    for key, changes in replay.keys.items():
        if not key.startswith(GUARDED):
            continue
        members: list[str] = []
        for change in changes:
            verdict.checked += 1
            now = (change.value or "").split()
            if now[: len(members)] != members:
                verdict.say(f"lost from the set: {key} at {change.revision} is not what was before")
            members = now
    return verdict
