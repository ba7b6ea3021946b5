"""A number that was measured many times: its middle and how far it strays."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Spread", "spread"]


@dataclass(frozen=True)
class Spread:
    """The median of some values and the quartiles around it."""

    low: float
    median: float
    high: float

    def __format__(self, form: str) -> str:
        return f"{self.median:{form}} [{self.low:{form}} .. {self.high:{form}}]"


def spread(values: Iterable[float]) -> Spread:
    return Spread(*statistics.quantiles(values, n=4))
