"""Nobody says that it has a lease after the server has ended it."""

from __future__ import annotations

from programme.history import History
from programme.judges.defects import Defects
from programme.judges.verdict import Verdict
from programme.replay import Replay

__all__ = ["judge"]

OF_LOCKS = "lock/"


def judge(history: History, replay: Replay) -> Verdict:
    """The server ends a lease by deleting its keys, which is known once a member reports it."""
    verdict = Verdict("leases never over-claimed")
    ended: dict[int, float] = {}
    for revision, changes in replay.revisions.items():
        for key, event in changes.items():
            if key.startswith(OF_LOCKS):
                continue  # A lock that is released deletes its key, not the lease.
            before = replay.before(key, revision)
            if event.value is None and before is not None and before.lease:
                ended.setdefault(before.lease, event.time)
    worst: dict[int, float] = {}
    for claim in history.claims:
        if claim.lease not in ended:
            continue  # It never had a key, by which its end is known.
        verdict.checked += 1
        late = claim.time - ended[claim.lease]
        if late > 0:
            worst[claim.lease] = max(late, worst.get(claim.lease, 0.0))
    defects = Defects(history)
    for lease, late in worst.items():
        problem = f"lease {lease:x} was claimed {late:.3f} s after its key was deleted"
        if defects.end_renewed_lease(ended[lease], late):
            verdict.known.append(problem)
        else:
            verdict.say(problem)
    return verdict
