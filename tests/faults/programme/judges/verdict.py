"""What a judge says."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Verdict"]


@dataclass
class Verdict:
    """How much a judge looked at, and what it found wrong."""

    name: str
    checked: int = 0
    problems: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    """What a known defect of this etcd explains."""

    def say(self, problem: str) -> None:
        """Note a problem."""
        self.problems.append(problem)

    def __str__(self) -> str:
        if not self.checked:
            return f"{self.name}: NOTHING CHECKED"
        if not self.problems:
            known = f", except {len(self.known)} by a defect of this etcd" if self.known else ""
            return f"{self.name}: {self.checked} checked, all right{known}"
        shown = "; ".join(self.problems[:3])
        return f"{self.name}: {self.checked} checked, {len(self.problems)} wrong: {shown}"
