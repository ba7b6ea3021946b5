"""Each acknowledged write is there once, each definite failure never, each indefinite at most once.

A written value is of one operation only, so an operation is found in the truth by its values. A
deletion has none: it is found by its revision if it was acknowledged, and otherwise any deletion of
its keys that nobody else made may be its own.
"""

from __future__ import annotations

from programme.history import History, Operation
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["applied", "judge", "places_of"]

UNRECORDED = ("lock/", "claimer/", "recipes/")
"""The prefixes of keys that locks, recipes and other processes write by themselves."""


def applied(operation: Operation, places: dict[tuple[str, str], list[int]]) -> list[int]:
    """The revisions at which the truth has a value of an operation, in order."""
    found: set[int] = set()
    for key, value in operation.writes.items():
        if value is not None:
            found.update(places.get((key, value), ()))
    return sorted(found)


def places_of(replay: Replay) -> dict[tuple[str, str], list[int]]:
    """The revisions at which each value was written to each key."""
    places: dict[tuple[str, str], list[int]] = {}
    for key, changes in replay.keys.items():
        for change in changes:
            if change.value is not None:
                places.setdefault((key, change.value), []).append(change.revision)
    return places


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("each write once")
    places = places_of(replay)
    by_nobody: dict[tuple[int, str], str | None] = {
        (revision, key): event.value
        for revision, changes in replay.revisions.items()
        for key, event in changes.items()
    }
    deletions: list[Operation] = []
    for operation in history.operations:
        if not operation.writes:
            continue
        verdict.checked += 1
        found = applied(operation, places)
        name = f"the {operation.kind} of {operation.client} at {operation.call:.3f} s"
        name += f" {operation.writes}"
        if operation.outcome == "definite" or not operation.succeeded:
            if found:
                verdict.say(f"failed but applied: {name} is at {found}")
        elif len(found) > 1:
            verdict.say(f"repeated: {name} is at {found}")
        elif operation.outcome == "ok":
            _judge_acknowledged(operation, found, name, replay, by_nobody, verdict)
        elif found:
            _take(operation, found[0], name, replay, by_nobody, verdict)
        elif all(value is None for value in operation.writes.values()):
            deletions.append(operation)
    _judge_rest(deletions, by_nobody, replay, verdict)
    return verdict


def _judge_acknowledged(
    operation: Operation,
    found: list[int],
    name: str,
    replay: Replay,
    by_nobody: dict[tuple[int, str], str | None],
    verdict: Verdict,
) -> None:
    if any(value is not None for value in operation.writes.values()):
        if not found:
            verdict.say(f"lost: {name} was acknowledged")
        elif operation.revision and found != [operation.revision]:
            verdict.say(f"{name} was acknowledged as {operation.revision} but is at {found}")
        else:
            _take(operation, found[0], name, replay, by_nobody, verdict)
        return
    if not operation.deleted:
        return  # Nothing was there to delete; the judge of reads has its say about that.
    gone = [key for key in operation.writes if (operation.revision, key) in by_nobody]
    if len(gone) != operation.deleted:
        verdict.say(f"lost or repeated: {name} was acknowledged as {operation.revision}")
    for key in gone:
        if by_nobody.pop((operation.revision, key)) is not None:
            verdict.say(f"{name} was acknowledged, but {key} was written at that revision")


def _take(
    operation: Operation,
    revision: int,
    name: str,
    replay: Replay,
    by_nobody: dict[tuple[int, str], str | None],
    verdict: Verdict,
) -> None:
    """Note that a revision is of this operation, which must be there as a whole."""
    for key, value in operation.writes.items():
        if value is None and replay.value(key, revision - 1) is None:
            continue  # There was nothing to delete.
        if by_nobody.pop((revision, key), "nothing") != value:
            verdict.say(f"in parts: {name} is at {revision} without {key}")


def _judge_rest(
    deletions: list[Operation],
    by_nobody: dict[tuple[int, str], str | None],
    replay: Replay,
    verdict: Verdict,
) -> None:
    """Match what is left with the deletions that may have been applied, each at most once."""
    used: set[int] = set()
    deletions.sort(key=lambda each: each.call)
    for (revision, key), value in sorted(by_nobody.items()):
        if key.startswith(UNRECORDED):
            continue
        if value is not None:
            verdict.say(f"nobody wrote {key}={value} at {revision}")
            continue
        change = replay.before(key, revision)
        if change is not None and change.lease:
            continue  # Its lease has ended; the judge of leases has its say about that.
        seen = replay.revisions[revision][key].time
        mine = next(
            (
                number
                for number, each in enumerate(deletions)
                if number not in used and key in each.writes and each.call <= seen
            ),
            None,
        )
        if mine is None:
            verdict.say(f"repeated or by nobody: {key} was deleted at {revision}")
        else:
            used.add(mine)
