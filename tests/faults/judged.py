"""Small histories for the tests of the judges."""

from __future__ import annotations

from programme.history import Event, History, Operation, Outcome, Response, Seen, Watched
from programme.judges import JUDGES
from programme.replay import Replay

__all__ = ["put", "said", "stored", "watched", "watching"]

MEMBERS = ("m0", "m1", "m2")


def stored(*changes: tuple[str, str | None] | list[tuple[str, str | None]]) -> History:
    """A history in which the members have stored these changes, from revision 2 on.

    A list is one transaction. Revision r was seen at r seconds.
    """
    history = History()
    versions: dict[str, tuple[int, int]] = {}
    for revision, change in enumerate(changes, 2):
        for key, value in change if isinstance(change, list) else [change]:
            created, version = versions.pop(key, (revision, 0))
            if value is None:
                created, version = 0, 0
            else:
                version += 1
                versions[key] = created, version
            for member in MEMBERS:
                history.add(
                    Event(member, revision, key, value, created, version, 0, float(revision))
                )
    return history


def put(key: str, value: str, revision: int = 0, **fields: object) -> Operation:
    """A put that took half a second before its revision was seen."""
    outcome: Outcome = "ok" if revision else "indefinite"
    made = Operation(
        "c", "put", revision - 0.5, revision - 0.1, outcome, revision, writes={key: value}
    )
    for name, field in fields.items():
        assert hasattr(made, name)
        setattr(made, name, field)
    return made


def watching(history: History, first: int = 2, last: int = 10**6) -> list[Response]:
    """The responses of a watch that misses nothing, one for each revision."""
    events = [event for event in history.events if event.member == MEMBERS[0]]
    responses: dict[int, Response] = {}
    values: dict[str, tuple[str, int]] = {}
    for event in events:
        seen = Seen(
            event.revision,
            event.key,
            event.value,
            event.create_revision,
            event.version,
            values.pop(event.key, None),
        )
        if event.value is not None:
            values[event.key] = event.value, event.revision
        if first <= event.revision <= last:
            response = responses.setdefault(
                event.revision, Response(event.time, event.revision, [])
            )
            response.events.append(seen)
    return list(responses.values())


def watched(history: History, responses: list[Response], **fields: object) -> None:
    """Add a watch of all keys from revision 2 with these responses."""
    made = Watched("c", "", True, 0, 1.0, 2, True, responses, 100.0, "complete")
    for name, field in fields.items():
        assert hasattr(made, name)
        setattr(made, name, field)
    history.add(made)


def said(judge: str, history: History) -> list[str]:
    """The problems that a judge sees, each up to its first colon."""
    verdict = JUDGES[judge](history, Replay(history))
    return [problem.partition(":")[0] for problem in verdict.problems]
