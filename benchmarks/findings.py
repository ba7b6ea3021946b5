"""What a scenario has found: rates, ratios with their targets, and lines of a plot."""

from __future__ import annotations

from dataclasses import dataclass, field

from spread import Spread

__all__ = ["Finding", "Line", "Outcome", "Plot", "Rate"]


@dataclass(frozen=True)
class Rate:
    """What one client did in one case, for the reader: no target is about it."""

    case: str
    client: str
    value: float
    unit: str

    def __str__(self) -> str:
        digits = 0 if self.value >= 100 else 1 if self.value >= 10 else 2
        return f"{self.value:,.{digits}f} {self.unit}"


@dataclass(frozen=True)
class Finding:
    """A measured quantity, and its target if it has one."""

    case: str
    what: str
    value: Spread
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    """The median counts."""

    @property
    def missed(self) -> bool:
        return (self.at_least is not None and self.value.median < self.at_least) or (
            self.at_most is not None and self.value.median > self.at_most
        )

    @property
    def shown(self) -> str:
        return f"{self.value:,.2f}{self.unit and ' '}{self.unit}"

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        return "missed" if self.missed else "met"

    def __str__(self) -> str:
        target = f"   ({self.target}: {self.verdict})" if self.target else ""
        return f"{self.case}: {self.what} {self.shown}{target}"


@dataclass(frozen=True)
class Line:
    """The line of one client in a plot: (x, y) points."""

    client: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A plot with logarithmic axes, `docs/img/bench/<file>.svg`."""

    file: str
    title: str
    across: str
    upward: str
    lines: list[Line]
    alt: str
    """What is to be seen in it, in a sentence."""


@dataclass
class Outcome:
    """All that a scenario has found."""

    title: str
    method: str
    """A sentence or two on what was done."""
    rates: list[Rate] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
