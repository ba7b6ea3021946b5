"""Each key is a linearizable register.

This judge does not use revisions: it searches for an order of the operations on a key in which each
could have happened at one moment between its call and its return, as Wing and Gong describe
("Testing and verifying concurrent objects", 1993), with the memory of Lowe ("Testing for
linearizability", 2017), which does not search again from a place where it was before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from programme.history import History, Operation
from programme.judges.verdict import Verdict
from programme.judges.writes import applied, places_of
from programme.replay import Replay

__all__ = ["Access", "UndecidedError", "judge", "linearizable"]

STEPS = 2_000_000
"""So many steps are made for one key; a bad history may need more than anybody can wait for."""


class UndecidedError(Exception):
    """The search was given up."""


@dataclass(frozen=True)
class Access:
    """One operation on one register, as far as its caller knows it."""

    call: float
    end: float
    """Infinite if it did not return."""
    kind: str
    """"write", "read" or "compare": write if the register has the expected value."""
    value: str | None
    """The value to write, or the value that was read; None if there is none."""
    expected: str | None = None
    succeeded: bool | None = True
    """Whether the compare held; None if nobody knows."""

    def on(self, state: str | None) -> tuple[bool, str | None]:
        """Whether it can happen in a state, and the state after it."""
        if self.kind == "read":
            return state == self.value, state
        if self.kind == "write":
            return True, self.value
        held = state == self.expected
        possible = self.succeeded is None or held == self.succeeded
        return possible, self.value if held else state


class _Entry:
    """The call or the return of an access, in a list that it can leave and join again."""

    __slots__ = ("access", "after", "before", "number", "returns")

    def __init__(self, access: Access | None, number: int) -> None:
        self.access = access
        self.number = number
        self.before: _Entry | None = None
        self.after: _Entry | None = None
        self.returns: _Entry | None = None

    def leave(self) -> None:
        if self.before is not None:
            self.before.after = self.after
        if self.after is not None:
            self.after.before = self.before

    def join(self) -> None:
        if self.before is not None:
            self.before.after = self
        if self.after is not None:
            self.after.before = self


def linearizable(accesses: list[Access], *, steps: int = STEPS) -> bool:
    """Whether there is a right order. Raises `UndecidedError` after so many steps."""
    head = _listed(accesses)
    state: str | None = None
    done = 0
    been: set[tuple[int, str | None]] = set()
    path: list[tuple[_Entry, str | None]] = []
    entry = head.after
    while entry is not None:
        steps -= 1
        if steps < 0:
            raise UndecidedError
        if entry.access is not None:
            possible, new = entry.access.on(state)
            place = (done | 1 << entry.number, new)
            if possible and place not in been:
                been.add(place)
                path.append((entry, state))
                done, state = place
                entry.leave()
                if entry.returns is not None:
                    entry.returns.leave()
                entry = head.after
            else:
                entry = entry.after
            continue
        # Something returns that had no place before: the last choice was wrong.
        if not path:
            return False
        entry, state = path.pop()
        done &= ~(1 << entry.number)
        if entry.returns is not None:
            entry.returns.join()
        entry.join()
        entry = entry.after
    return True


def _listed(accesses: list[Access]) -> _Entry:
    """Link all calls and returns in the order of time; what did not return has no return."""
    entries: list[tuple[float, int, _Entry]] = []
    for number, access in enumerate(sorted(accesses, key=lambda each: each.call)):
        call = _Entry(access, number)
        entries.append((access.call, 0, call))
        if access.end < math.inf:
            call.returns = _Entry(None, number)
            entries.append((access.end, 1, call.returns))
    # At the same moment a call comes first: the two overlap.
    entries.sort(key=lambda each: each[:2])
    head = _Entry(None, -1)
    last = head
    for _, _, entry in entries:
        last.after, entry.before = entry, last
        last = entry
    return head


def judge(history: History, replay: Replay) -> Verdict:
    verdict = Verdict("linearizable registers")
    places = places_of(replay)
    leased = {
        key for key, changes in replay.keys.items() if any(change.lease for change in changes)
    }
    accesses: dict[str, list[Access]] = {}
    for operation in history.operations:
        for key, access in _accesses(operation, replay, places):
            accesses.setdefault(key, []).append(access)
    for key, found in sorted(accesses.items()):
        if key in leased:
            continue  # The end of a lease deletes it at a moment that no operation has.
        verdict.checked += len(found)
        try:
            if not linearizable(found):
                verdict.say(f"{key} is not linearizable over {len(found)} operations")
        except UndecidedError:
            verdict.say(f"{key} is undecided over {len(found)} operations")
    return verdict


def _accesses(
    operation: Operation, replay: Replay, places: dict[tuple[str, str], list[int]]
) -> list[tuple[str, Access]]:
    """What an operation does to each of its keys."""
    if operation.outcome == "definite" or operation.stale or operation.at:
        return []
    succeeded: bool | None = operation.succeeded
    end = math.inf if operation.end is None else operation.end
    if operation.outcome == "indefinite":
        if not operation.writes:
            return []
        end = math.inf
        found = applied(operation, places)
        if found:
            # A member has reported it: it happened before that.
            changes = replay.revisions[found[0]]
            end = min((event.time for event in changes.values()), default=math.inf)
            end = max(end, operation.call)
        elif any(value is not None for value in operation.writes.values()):
            return []  # No member has it: it never happened.
        else:
            succeeded = None
    made: list[tuple[str, Access]] = []
    for key in {*operation.writes, *operation.compare}:
        new = operation.writes.get(key)
        if key in operation.compare:
            expected = operation.compare[key]
            access = Access(operation.call, end, "compare", new, expected, succeeded)
            if key not in operation.writes:
                access = Access(operation.call, end, "compare", expected, expected, succeeded)
            made.append((key, access))
        elif operation.succeeded:
            made.append((key, Access(operation.call, end, "write", new)))
    if operation.outcome == "ok" and operation.prefix is None:
        for key, value in operation.reads.items():
            made.append((key, Access(operation.call, end, "read", value)))
    return made
