"""`Metric`, the description of what the packages measure, and `Measurement`, one value of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

__all__ = ["TOKEN_RENEWALS", "Measurement", "Metric"]


class Metric:
    """The description of a metric, a constant of the package that measures it.

    `kind` says how its values are aggregated: "counter" adds them up, "up_down_counter" does so
    too, but they may be negative, and "histogram" keeps their distribution, for which `boundaries`
    are suitable bounds of the buckets. `unit` is a unit of UCUM: "s", "{revision}".
    """

    __slots__ = ("boundaries", "description", "kind", "name", "unit")

    def __init__(
        self,
        name: str,
        unit: str,
        description: str,
        kind: Literal["counter", "up_down_counter", "histogram"] = "counter",
        boundaries: tuple[float, ...] = (),
    ) -> None:
        self.name: Final[str] = name
        self.unit: Final[str] = unit
        self.description: Final[str] = description
        self.kind: Final[Literal["counter", "up_down_counter", "histogram"]] = kind
        self.boundaries: Final[tuple[float, ...]] = boundaries

    def __repr__(self) -> str:
        return f"Metric({self.name!r}, {self.unit!r}, kind={self.kind!r})"


class Measurement(NamedTuple):
    """One measured value.

    `attributes` have few values, none of which is a key or a value of the program's data.
    """

    metric: Metric
    value: float
    attributes: Mapping[str, str]


TOKEN_RENEWALS = Metric(
    "etcd.client.token.renewals",
    "{renewal}",
    "Tokens that were fetched in place of an earlier one.",
)
