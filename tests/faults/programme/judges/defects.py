"""Defects of etcd by which events or leases are lost; nothing tells a client that they are."""

from __future__ import annotations

from itertools import pairwise

from programme.history import History

__all__ = ["Defects"]

_KEEPS_DELETIONS = {"3.4": 34, "3.5": 16}
"""Since which patch a compaction keeps the deletions of its own revision (etcd issue 18089)."""
_CANCELS_LAGGARDS = {"3.4": 31, "3.5": 13}
"""Since which patch a compaction cancels a watch that is behind it even if the stream is full, in
place of going on behind the newest revision (etcd issue 17529)."""
_IS_SILENT = 0.25
"""Seconds without an event of a member that was stopped; others come a hundred times a second."""
_BEFORE_ITS_EVENTS, _STILL_LEADS = 0.5, 1.0
"""Seconds around the first event of a member that goes on, in which it may end leases: it takes
itself for the leader, and looks at them twice a second."""
_TOLD_AFTER = 1.5
"""Seconds in which the holder of a lease learns its end, which the next keep-alive reports."""


class Defects:
    """The defects that the etcd of a history has, and where they may have struck."""

    def __init__(self, history: History) -> None:
        etcd = str(history.about.get("etcd", ""))
        compacted = {
            each.at
            for each in history.operations
            if each.kind == "compact" and each.outcome != "definite"
        }
        self._forgotten = compacted if _is_before(etcd, _KEEPS_DELETIONS) else set[int]()
        self._skipped = compacted if _is_before(etcd, _CANCELS_LAGGARDS) else set[int]()
        self._went_on = _went_on(history)

    def forget_deletion(self, revision: int) -> bool:
        """Whether the deletions of a revision may be missing: it was compacted itself."""
        return revision in self._forgotten

    def skip(self, before: int, behind: int) -> bool:
        """Whether everything between two delivered revisions may be missing: one was compacted."""
        return any(before + 1 < revision <= behind for revision in self._skipped)

    def end_renewed_lease(self, time: float, late: float) -> bool:
        """Whether a leader that was stopped may have ended a lease, which was claimed so late.

        It ends what its successor has renewed (etcd issue 15247). Since 3.4.31 and 3.5.13 it asks
        the others first, but not if its clock has ticked again before it looks at its leases.
        """
        return late <= _TOLD_AFTER and any(
            went_on - _BEFORE_ITS_EVENTS <= time <= went_on + _STILL_LEADS
            for went_on in self._went_on
        )


def _went_on(history: History) -> list[float]:
    """When the members that were stopped went on: at their first event after a silence."""
    found: list[float] = []
    stops = [fault for fault in history.faults if fault.name == "SIGSTOP"]
    times: dict[str, list[float]] = {fault.target: [] for fault in stops}
    for event in history.events:
        if event.member in times:
            times[event.member].append(event.time)
    for fault in stops:
        seen = sorted(times[fault.target])
        found += [
            behind
            for before, behind in pairwise(seen)
            if behind - before > _IS_SILENT and before <= fault.end and behind >= fault.begin
        ]
    return found


def _is_before(etcd: str, fixed: dict[str, int]) -> bool:
    branch, _, patch = etcd.rpartition(".")
    return patch.isdigit() and int(patch) < fixed.get(branch, 0)
