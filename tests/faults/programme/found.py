"""What the judges found in a run, by kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from programme.history import History
from programme.judges import Verdict

__all__ = ["KINDS", "Judged", "by_kind"]

KINDS = {
    "lost": ("lost", "in parts"),
    "repeated": ("repeated", "unique", "failed but applied"),
    "over-claimed": ("over-claimed", "two holders", "lease "),
    "silent": ("silent", "reliable", "resumable", "complete", "bookmarkable"),
}
"""How the problems of each kind begin."""
OTHER = "other"


@dataclass
class Judged:
    """A run and what the judges say about it."""

    history: History
    verdicts: dict[str, Verdict]

    @property
    def problems(self) -> list[str]:
        return [problem for verdict in self.verdicts.values() for problem in verdict.problems]

    @property
    def idle(self) -> list[str]:
        """The judges that had nothing to look at, though the run should have given them something.

        They cannot find anything, so such a run shows less than it seems to.
        """
        about = self.history.about
        given = {
            "scenarios": about.get("scenarios", True),
            "recovery": bool(about.get("faults", True)),
            "recipes": about.get("recipes", False),
        }
        return [
            name
            for name, verdict in self.verdicts.items()
            if not verdict.checked and given.get(name, True)
        ]


def by_kind(problems: Iterable[str]) -> dict[str, int]:
    """How many problems there are of each kind, and of no kind."""
    counted: Counter[str] = Counter()
    for problem in problems:
        kinds = [kind for kind, starts in KINDS.items() if problem.startswith(starts)]
        counted[kinds[0] if kinds else OTHER] += 1
    return {kind: counted[kind] for kind in (*KINDS, OTHER)}
