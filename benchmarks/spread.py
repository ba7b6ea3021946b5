"""The median and the quartiles of repeated measurements."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Spread", "ratios", "spread"]


@dataclass(frozen=True)
class Spread:
    """The median of some values and the quartiles around it."""

    low: float
    median: float
    high: float

    def __format__(self, form: str) -> str:
        if self.low == self.high:
            return f"{self.median:{form}}"
        return f"{self.median:{form}} [{self.low:{form}} .. {self.high:{form}}]"


def spread(values: Iterable[float]) -> Spread:
    """Of one value, all three are that value."""
    known = list(values)
    return Spread(
        *statistics.quantiles(known * 2 if len(known) == 1 else known, method="inclusive")
    )


def ratios(ones: Iterable[float], others: Iterable[float]) -> Spread:
    """The ratios of neighbouring rounds: what slows the machine for a while slows both."""
    return spread(one / other for one, other in zip(ones, others, strict=True))
