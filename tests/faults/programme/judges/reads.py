"""Each read has what the replayed history has at its revision; so do the compares."""

from __future__ import annotations

from programme.history import History
from programme.judges.defects import Defects
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["judge"]


CACHED = ("cached list", "cached list now")
"""The kinds of reads that a watch has filled."""


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("reads at their revision")
    defects = Defects(history)
    for operation in history.operations:
        if operation.outcome != "ok":
            continue
        name = f"the {operation.kind} of {operation.client} at {operation.call:.3f} s"
        revision = operation.at or operation.revision
        if operation.revision and operation.compare:
            verdict.checked += 1
            changed = operation.writes and operation.succeeded
            seen = operation.revision - 1 if changed else operation.revision
            holds = all(
                replay.value(key, seen) == value for key, value in operation.compare.items()
            )
            if holds != operation.succeeded:
                verdict.say(f"{name} at revision {operation.revision} compared wrongly")
        if not revision or (not operation.reads and operation.prefix is None):
            continue
        verdict.checked += 1
        if operation.prefix is not None:
            expected = replay.values(operation.prefix, revision)
        else:
            expected = {key: replay.value(key, revision) for key in operation.reads}
        wrong = sorted(
            key
            for key in {*expected, *operation.reads}
            if expected.get(key) != operation.reads.get(key)
        )
        if operation.kind in CACHED and all(
            _is_forgotten(key, revision, replay, defects) for key in wrong
        ):
            verdict.known += [f"{name} has {key}, which was deleted" for key in wrong]
        elif wrong:
            verdict.say(
                f"{name} at revision {revision} has {wrong[0]}="
                f"{operation.reads.get(wrong[0])}, not {expected.get(wrong[0])}"
            )
    return verdict


def _is_forgotten(key: str, revision: int, replay: Replay, defects: Defects) -> bool:
    """Whether the last change of a key is a deletion that this etcd may have forgotten."""
    change = replay.before(key, revision + 1)
    return change is not None and change.value is None and defects.forget_deletion(change.revision)
