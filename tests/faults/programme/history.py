"""What happened in a run: operations, watches, leases, locks, faults, and what the servers did.

A history is kept as JSON lines, so that the judges can judge it again. Times are seconds since the
start of the run. Keys and values are text.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = [
    "Claim",
    "Event",
    "Fault",
    "History",
    "Hold",
    "Left",
    "Operation",
    "Outcome",
    "Response",
    "Scenario",
    "Seen",
    "Used",
    "Watched",
    "record_of",
]

Outcome: TypeAlias = Literal["ok", "definite", "indefinite"]
"""How an operation ended; the last two are failures, told apart by `ClientError.definite`."""


@dataclass
class Operation:
    """One call: if `compare` holds it writes `writes`; it also reads keys that it does not write.

    A failed read may be left out of a history. `indefinite` includes a write that never returned.
    """

    client: str
    kind: str
    call: float
    end: float | None = None
    outcome: Outcome = "indefinite"
    revision: int = 0
    """The revision in the response; 0 if it has none."""
    reads: dict[str, str | None] = field(default_factory=dict)
    """The values that were read; None for a key that does not exist."""
    prefix: str | None = None
    """`reads` has all keys with this prefix."""
    writes: dict[str, str | None] = field(default_factory=dict)
    """The values to write; None deletes the key. No value is written by two operations."""
    compare: dict[str, str | None] = field(default_factory=dict)
    """Values that the keys should have; None for a key that should not exist."""
    succeeded: bool = True
    """Whether `compare` held."""
    deleted: int = 0
    """How many keys a deletion says it has deleted."""
    at: int = 0
    """The revision that was asked for; 0 for the newest."""
    stale: bool = False
    """A serializable read, which may be of an old revision."""
    error: str = ""


@dataclass
class Event:
    """One change of a key, as one member reported it to a watch from revision 1."""

    member: str
    revision: int
    key: str
    value: str | None
    create_revision: int
    version: int
    lease: int
    time: float
    """When the event was received: the change happened before."""


@dataclass
class Seen:
    """One event that a watch under test delivered."""

    revision: int
    key: str
    value: str | None
    create_revision: int
    version: int
    previous: tuple[str, int] | None = None
    """The value and the revision before the change, if the event has them."""


@dataclass
class Response:
    """One response that a watch delivered; no events mean progress."""

    time: float
    revision: int
    events: list[Seen]


@dataclass
class Watched:
    """One watch under test, over all its streams."""

    client: str
    key: str
    prefix: bool
    requested: int
    """The start revision that was asked for; 0 for now."""
    opened: float
    start: int = 0
    """The revision that the watch says it started at; 0 if it was never created."""
    previous: bool = False
    """Whether it asked for the values before the changes."""
    responses: list[Response] = field(default_factory=list)
    ended: float = 0.0
    end: str = "cancelled"
    """Why it ended: "cancelled", "compacted", "complete" (all events were awaited), "not created"
    (in time) or an error."""
    compacted: int = 0
    """The compact revision in the error."""


@dataclass
class Claim:
    """A moment at which a client says that it has a lease."""

    lease: int
    time: float


@dataclass
class Hold:
    """The time during which a client says that it holds a lock."""

    lock: str
    holder: str
    begin: float
    end: float
    """The last moment at which the holder said so."""


@dataclass
class Used:
    """One call of a recipe that several clients share."""

    client: str
    recipe: str
    """"counter", "queue" or "work queue"."""
    kind: str
    """"add", "put", "get" or "done"."""
    item: str = ""
    """The item or the job, or the sum of an addition; empty if there was none."""
    outcome: Outcome = "indefinite"
    error: str = ""


@dataclass
class Fault:
    """One fault, and how long it lasted."""

    name: str
    target: str
    begin: float
    end: float
    recovery: dict[str, float] = field(default_factory=dict)
    """Seconds until the next success, by what succeeded: read, write, watch, keep-alive."""


@dataclass
class Left:
    """What was left after everything was closed."""

    kind: str
    count: int
    what: str = ""


@dataclass
class Scenario:
    """What one scenario did beside the traffic, and what it found wrong."""

    name: str
    times: int = 0
    """How often its fault was caused."""
    operations: int = 0
    """How many calls and events it looked at."""
    problems: list[str] = field(default_factory=list)
    """Each begins with its kind, such as "silent: "."""
    saw: str = ""
    """For people."""


Record: TypeAlias = "Operation | Event | Watched | Claim | Hold | Used | Fault | Left | Scenario"
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Operation, Event, Watched, Claim, Hold, Used, Fault, Left, Scenario)
}


@dataclass
class History:
    """Everything about one run."""

    about: dict[str, Any] = field(default_factory=dict)
    """The seed, the version of etcd and the like."""
    operations: list[Operation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    """The truth: what each member reported, in the order of each member."""
    watches: list[Watched] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    used: list[Used] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)

    def records(self) -> list[Record]:
        return [
            *self.operations,
            *self.events,
            *self.watches,
            *self.claims,
            *self.holds,
            *self.used,
            *self.faults,
            *self.left,
            *self.scenarios,
        ]

    def add(self, record: Record) -> None:
        lists: dict[type[Any], list[Any]] = {
            Operation: self.operations,
            Event: self.events,
            Watched: self.watches,
            Claim: self.claims,
            Hold: self.holds,
            Used: self.used,
            Fault: self.faults,
            Left: self.left,
            Scenario: self.scenarios,
        }
        lists[type(record)].append(record)

    def save(self, path: Path) -> None:
        """Write it as JSON lines, one record in each."""
        with path.open("w") as file:
            file.write(json.dumps({"about": self.about}) + "\n")
            for record in self.records():
                line = {"is": type(record).__name__, **dataclasses.asdict(record)}
                file.write(json.dumps(line) + "\n")

    @classmethod
    def load(cls, path: Path) -> History:
        """Read what `save` wrote."""
        with path.open() as file:
            history = cls(about=json.loads(next(file))["about"])
            for line in file:
                fields = json.loads(line)
                history.add(record_of(fields.pop("is"), fields))
        return history


def record_of(kind: str, fields: dict[str, Any]) -> Record:
    """A record from its kind and the fields of its JSON line."""
    if kind == "Watched":
        fields["responses"] = [
            Response(
                each["time"],
                each["revision"],
                [_seen(event) for event in each["events"]],
            )
            for each in fields["responses"]
        ]
    made: Record = _KINDS[kind](**fields)
    return made


def _seen(fields: dict[str, Any]) -> Seen:
    previous = fields.pop("previous")
    return Seen(**fields, previous=None if previous is None else (previous[0], previous[1]))
