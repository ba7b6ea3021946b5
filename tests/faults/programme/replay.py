"""The truth of a run: what the members reported, merged and replayed."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from programme.history import Event, History

__all__ = ["Replay", "Version"]


@dataclass(frozen=True)
class Version:
    """A key after a change; `value` is None after its deletion."""

    revision: int
    value: str | None
    create_revision: int
    version: int
    lease: int


class Replay:
    """All changes of all keys, by revision and by key.

    A member that was down or cut off while its history was compacted misses a part of it; the
    others have that part.
    """

    def __init__(self, history: History) -> None:
        self.revisions: dict[int, dict[str, Event]] = {}
        """The changes of each revision, each as the member that reported it first."""
        for event in history.events:
            changes = self.revisions.setdefault(event.revision, {})
            known = changes.get(event.key)
            if known is None or event.time < known.time:
                changes[event.key] = event
        self.last = max(self.revisions, default=1)
        """The last revision."""
        self.keys: dict[str, list[Version]] = {}
        """The changes of each key, in order."""
        for revision in sorted(self.revisions):
            for key, event in self.revisions[revision].items():
                self.keys.setdefault(key, []).append(
                    Version(
                        revision, event.value, event.create_revision, event.version, event.lease
                    )
                )

    def before(self, key: str, revision: int) -> Version | None:
        """The last change of a key before a revision; None if there was none."""
        changes = self.keys.get(key, [])
        index = bisect.bisect_left(changes, revision, key=lambda each: each.revision)
        return changes[index - 1] if index else None

    def value(self, key: str, revision: int) -> str | None:
        """The value of a key at a revision."""
        change = self.before(key, revision + 1)
        return None if change is None else change.value

    def values(self, prefix: str, revision: int) -> dict[str, str | None]:
        """All keys with a prefix that exist at a revision."""
        found = {key: self.value(key, revision) for key in self.keys if key.startswith(prefix)}
        return {key: value for key, value in found.items() if value is not None}

    def changes(self, key: str, prefix: bool, first: int, last: int) -> list[Event]:
        """The changes of a key, or of all keys with that prefix, in a span of revisions."""
        return [
            event
            for revision in range(first, last + 1)
            for changed, event in sorted(self.revisions.get(revision, {}).items())
            if (changed.startswith(key) if prefix else changed == key)
        ]
