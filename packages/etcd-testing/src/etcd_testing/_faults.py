"""The active faults of a proxy, and its counters."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

__all__ = ["DIRECTIONS", "Counters", "Direction", "Faults"]

Direction: TypeAlias = Literal["to_client", "to_server"]
DIRECTIONS: Final[tuple[Direction, Direction]] = ("to_client", "to_server")


@dataclasses.dataclass
class Counters:
    """What has passed through a proxy since it was made."""

    accepted: int = 0
    """Connections that were accepted from clients."""
    open: int = 0
    """Connections that are open now."""
    to_server: int = 0
    """Bytes passed on to the server."""
    to_client: int = 0
    """Bytes passed on to clients."""
    dropped: int = 0
    """Bytes discarded, in both directions."""


@dataclasses.dataclass
class Faults:
    """The active faults of a proxy; all its connections share them."""

    counters: Counters
    changed: Callable[[], None]
    """Called after every change of the counters."""
    holes: set[Direction] = dataclasses.field(default_factory=set)
    drops: set[Direction] = dataclasses.field(default_factory=set)
    delays: dict[Direction, tuple[float, float]] = dataclasses.field(default_factory=dict)
    allowances: dict[Direction, int] = dataclasses.field(default_factory=dict)
    reply_killed: asyncio.Future[None] | None = None
    """Set while the next reply is to be killed."""
