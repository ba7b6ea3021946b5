"""The order of the revisions is an order in real time: strict serializability of the whole store.

etcd numbers all changes, so there is nothing to search for: an operation that began after another
one had ended must have a higher revision if it wrote, and at least the same one if it only read.
"""

from __future__ import annotations

import heapq

from programme.history import History, Operation
from programme.judges.verdict import Verdict
from programme.judges.writes import applied, places_of
from programme.replay import Replay

__all__ = ["judge"]


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("order in real time")
    places = places_of(replay)
    ended: list[tuple[float, int]] = []
    newest = 0
    for operation in sorted(history.operations, key=lambda each: each.call):
        while ended and ended[0][0] < operation.call:
            newest = max(newest, heapq.heappop(ended)[1])
        revision, wrote = _revision(operation, places)
        if not revision or operation.stale or operation.at:
            continue
        verdict.checked += 1
        if revision < newest or (wrote and revision == newest):
            verdict.say(
                f"the {operation.kind} of {operation.client} began at {operation.call:.3f} s, "
                f"after revision {newest} was returned, but has revision {revision}"
            )
        if operation.outcome == "ok" and operation.end is not None:
            heapq.heappush(ended, (operation.end, revision))
    return verdict


def _revision(operation: Operation, places: dict[tuple[str, str], list[int]]) -> tuple[int, bool]:
    """The revision of an operation, 0 if it has none, and whether it made it."""
    if operation.outcome == "ok" and (operation.revision or not operation.writes):
        deletes_only = all(value is None for value in operation.writes.values())
        wrote = operation.deleted > 0 if deletes_only else True
        return operation.revision, bool(operation.writes) and operation.succeeded and wrote
    found = applied(operation, places) if operation.outcome != "definite" else []
    return (found[0], True) if found else (0, False)
