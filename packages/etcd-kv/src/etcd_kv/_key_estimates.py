"""Estimates the end of a range with a given number of keys; an estimate may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from etcd_channel import KeyValueLike

__all__ = ["KeyEstimates", "common_length"]

# The number of keys of a page that are used.
_SAMPLE: Final = 16
# The minimum number of keys from which a density is estimated.
_LEAST: Final = 4
# The number of bytes before and after the end of the common prefix that are used.
_BYTES: Final = 8


class KeyEstimates:
    """Estimates from the density of the keys in one page, which are in ascending order.

    Keys are treated as numbers whose digits are the bytes that occur in them. Any keys are
    accepted; the estimates are good for decimal or hexadecimal numbers and for random bytes.
    """

    def __init__(self, kvs: Sequence[KeyValueLike]) -> None:
        self._count = len(kvs)
        step = max(self._count // _SAMPLE, 1)
        keys = [kvs[at].key for at in range(0, self._count, step)]
        keys.append(kvs[-1].key)
        first, last = keys[0], keys[-1]
        common = common_length(first, last)
        used = {byte for key in keys for byte in key[common : common + _BYTES]}
        self._zero = min(used, default=0)
        most = max(used, default=255)
        self._base = most - self._zero + 1
        begin = common
        while begin > max(common - _BYTES, 0) and self._zero <= first[begin - 1] <= most:
            begin -= 1
        self._prefix = first[:begin]
        self._width = common - begin + _BYTES
        self._highest: int = self._base**self._width - 1
        self._span = max(self._number(last) - self._number(first), 1)

    @classmethod
    def of(cls, kvs: Sequence[KeyValueLike]) -> KeyEstimates | None:
        """Return the estimates from a page; None if the page has too few keys."""
        return cls(kvs) if len(kvs) >= _LEAST else None

    def key_after(self, start: bytes, keys: int) -> bytes | None:
        """Return the end of a range of about `keys` keys from `start` on; None if it is unknown."""
        number = self._number(start) + max(self._span * keys // self._count, 1)
        guess = self._key(number)
        return guess if guess is not None and guess > start else None

    def key_before(self, end: bytes, keys: int) -> bytes | None:
        """Return the start of a range of about `keys` keys up to `end`; None if it is unknown."""
        number = self._number(end) - max(self._span * keys // self._count, 1)
        guess = self._key(number)
        return guess if guess is not None and guess < end else None

    def _number(self, key: bytes) -> int:
        """Return a key as a number; a byte that is not a digit counts as the nearest digit."""
        prefix, zero, highest = self._prefix, self._zero, self._base - 1
        if not key.startswith(prefix):
            return 0 if key < prefix else self._highest
        digits = key[len(prefix) : len(prefix) + self._width]
        number = 0
        for at in range(self._width):
            digit = min(max(digits[at] - zero, 0), highest) if at < len(digits) else 0
            number = number * self._base + digit
        return number

    def _key(self, number: int) -> bytes | None:
        if not 0 < number <= self._highest:
            return None
        digits = bytearray()
        for _ in range(self._width):
            number, digit = divmod(number, self._base)
            digits.append(digit + self._zero)
        return self._prefix + bytes(reversed(digits))


def common_length(low: bytes, high: bytes) -> int:
    """Return the length of the common prefix of two keys."""
    length = 0
    for one, other in zip(low, high, strict=False):
        if one != other:
            break
        length += 1
    return length
