"""Ranges of keys and their differences; no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["KeyRange"]


class KeyRange(NamedTuple):
    """The keys from `start` (included) to `end` (excluded); None means that there is no end."""

    start: bytes
    end: bytes | None

    @classmethod
    def of_key(cls, key: bytes) -> KeyRange:
        """Return the range of one key."""
        return cls(key, key + b"\0")

    @classmethod
    def of_request(cls, start: bytes, end: bytes) -> KeyRange:
        r"""Return a range from the ends in a request: an empty end is one key, `b"\0"` no end."""
        if not end:
            return cls.of_key(start)
        return cls(start, None if end == b"\0" else end)

    @property
    def request_end(self) -> bytes:
        r"""The end in a request: `b"\0"` if there is none."""
        return b"\0" if self.end is None else self.end

    @property
    def is_empty(self) -> bool:
        """Whether it ends before it begins."""
        return self.end is not None and self.end <= self.start

    def holds(self, key: bytes) -> bool:
        """Whether the key is in it."""
        return self.start <= key and (self.end is None or key < self.end)

    def without(self, others: Iterable[KeyRange]) -> list[KeyRange]:
        """Return the parts of it that are in none of the others, in the order of the keys."""
        pieces = [] if self.is_empty else [self]
        for other in others:
            pieces = [left for piece in pieces for left in piece._cut(other)]
        return pieces

    def _cut(self, other: KeyRange) -> list[KeyRange]:
        start, end = self
        if (other.end is not None and other.end <= start) or (
            end is not None and end <= other.start
        ):
            return [self]
        left = []
        if start < other.start:
            left.append(KeyRange(start, other.start))
        if other.end is not None and (end is None or other.end < end):
            left.append(KeyRange(other.end, end))
        return left
