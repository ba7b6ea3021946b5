"""All members report the same history, and together all of it."""

from __future__ import annotations

from programme.history import Event, History
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["judge"]


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("members agree", len(history.events))
    reported: dict[tuple[int, str], Event] = {}
    position: dict[str, int] = {}
    for event in history.events:
        place = (event.revision, event.key)
        known = reported.setdefault(place, event)
        if _change(known) != _change(event):
            verdict.say(f"{known.member} and {event.member} differ at {place}")
        if event.revision < position.get(event.member, 0):
            verdict.say(f"{event.member} went back to revision {event.revision}")
        position[event.member] = event.revision
    for revision in range(2, replay.last + 1):
        if revision not in replay.revisions:
            verdict.say(f"no member reported revision {revision}")
    for member, last in position.items():
        if last != replay.last:
            verdict.say(f"{member} ends at revision {last}, not {replay.last}")
    return verdict


def _change(event: Event) -> tuple[str | None, int, int, int]:
    return event.value, event.create_revision, event.version, event.lease
