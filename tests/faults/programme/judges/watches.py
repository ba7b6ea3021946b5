"""What etcd promises of a watch, of each watch over all its streams.

The names are those of etcd's own robustness tests; "complete" is added: a watch that was read until
a marker has everything up to it, and "silent" is what a watch lost at its end.
"""

from __future__ import annotations

from programme.history import Event, History, Seen, Watched
from programme.judges.defects import Defects
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["PROMISES", "judge"]

PROMISES = (
    "filter",
    "ordered",
    "unique",
    "atomic",
    "bookmarkable",
    "resumable",
    "reliable",
    "previous",
    "is-create",
    "complete",
)


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("watches")
    defects = Defects(history)
    for watch in history.watches:
        if not watch.start or watch.end == "not created":
            continue  # It has promised nothing.
        verdict.checked += sum(len(response.events) for response in watch.responses)
        name = f"{watch.client}'s watch of {watch.key} from {watch.start}"
        for promise, problem in _broken(watch, replay, defects, verdict):
            verdict.say(f"{promise}: {name}: {problem}")
    return verdict


def _broken(
    watch: Watched, replay: Replay, defects: Defects, verdict: Verdict
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    seen: set[tuple[int, str]] = set()
    last = 0
    progress = 0
    responded = 0
    for response in watch.responses:
        if not response.events:
            if response.revision < max(progress, last):
                found.append(("bookmarkable", f"progress {response.revision} after {last}"))
            progress = max(progress, response.revision)
        for event in response.events:
            place = (event.revision, event.key)
            if not (event.key.startswith(watch.key) if watch.prefix else event.key == watch.key):
                found.append(("filter", f"{event.key} is another key"))
            if event.revision < last:
                found.append(("ordered", f"revision {event.revision} after {last}"))
            if place in seen:
                found.append(("unique", f"{place} again"))
            if event.revision <= responded:
                found.append(("atomic", f"revision {event.revision} in two responses"))
            if event.revision <= progress:
                found.append(("bookmarkable", f"{event.revision} after progress {progress}"))
            if event.revision < max(watch.requested, watch.start):
                found.append(("resumable", f"{event.revision} is before the start"))
            seen.add(place)
            last = max(last, event.revision)
            found += _wrong(watch, event, replay)
        if response.events:
            responded = max(event.revision for event in response.events)
    for promise, missing in _missing(watch, replay, seen, last, progress):
        problem = f"{missing.key} at {missing.revision} is missing"
        if _is_known(promise, missing, seen, defects):
            verdict.known.append(problem)
        else:
            found.append((promise, problem))
    position = max(watch.requested, watch.start, last + 1)
    if watch.end == "compacted" and watch.compacted <= position:
        found.append(("complete", f"compacted at {watch.compacted}, which is before its position"))
    if watch.end not in ("cancelled", "compacted", "complete"):
        found.append(("complete", f"ended by {watch.end}"))
    return found


def _is_known(promise: str, missing: Event, seen: set[tuple[int, str]], defects: Defects) -> bool:
    """Whether a defect of this etcd explains what is missing."""
    if missing.value is None and defects.forget_deletion(missing.revision):
        return True
    if promise != "reliable" or any(revision == missing.revision for revision, _ in seen):
        return False
    before = [revision for revision, _ in seen if revision < missing.revision]
    behind = [revision for revision, _ in seen if revision > missing.revision]
    return bool(before and behind) and defects.skip(max(before), min(behind))


def _wrong(watch: Watched, event: Seen, replay: Replay) -> list[tuple[str, str]]:
    """What is wrong with one event."""
    place = f"{event.key} at {event.revision}"
    true = replay.revisions.get(event.revision, {}).get(event.key)
    if true is None:
        return [("reliable", f"there was no change of {place}")]
    found: list[tuple[str, str]] = []
    if true.value != event.value:
        found.append(("reliable", f"{place} is {event.value}, not {true.value}"))
    if (true.create_revision, true.version) != (event.create_revision, event.version):
        found.append(("is-create", f"{place} has version {event.version}, not {true.version}"))
    before = replay.before(event.key, event.revision)
    if watch.previous and event.previous is not None:
        expected = None if before is None or before.value is None else before
        if expected is None or event.previous != (expected.value, expected.revision):
            found.append(("previous", f"{place} came after {event.previous}"))
    if event.previous is not None and not watch.previous:
        found.append(("previous", f"{place} has a previous value that nobody asked for"))
    return found


def _missing(
    watch: Watched, replay: Replay, seen: set[tuple[int, str]], last: int, progress: int
) -> list[tuple[str, Event]]:
    """What the watch should have delivered: all up to its last event, progress or its end."""
    start = max(watch.requested, watch.start)
    until = max(last, progress)
    if watch.end == "complete":
        until = replay.last
    missing = [
        event
        for event in replay.changes(watch.key, watch.prefix, start, until)
        if (event.revision, event.key) not in seen
    ]
    found: list[tuple[str, Event]] = []
    for event in missing:
        promise = "resumable" if not seen or event.revision < min(seen)[0] else "reliable"
        if event.revision > last:
            promise = "complete" if watch.end == "complete" else "bookmarkable"
        found.append((promise, event))
    return found
