"""Conditions on a queue without which no entry is put."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from etcd_channel import ClientError
from etcd_kv import Compare, GetRange, Operation

__all__ = ["Refusal"]


class Refusal(NamedTuple):
    """Compares that must succeed when an entry is put, and the error if they do not."""

    compares: list[Compare]
    reads: list[Operation]
    """What to read if the compares fail."""
    error: Callable[[list[GetRange]], ClientError]
    """Makes the error from the results of `reads`."""
