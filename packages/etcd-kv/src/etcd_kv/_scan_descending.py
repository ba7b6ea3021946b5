"""Reads the pages of a scan in descending order.

To sort a range, etcd reads all of it into memory for each request and applies the limit
afterwards. So no request here asks for a sorted response. A page is a range of keys that ends where
the page before it started. Its start is found by a search: a read with the limit 1 returns the
number of keys in a range, which etcd counts in its index, and the first of them. Only the first
request reads keys in ascending order: if the range is small, its response is the whole scan.
"""

from __future__ import annotations

from dataclasses import dataclass

from etcd_channel.utils import prefix_range_end
from etcd_kv._compaction import call_range
from etcd_kv._key_estimates import KeyEstimates, common_length
from etcd_kv._scan_source import ENOUGH, Messages, ScanSource, call_page
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["Descending", "key_between"]

_END_OF_KEYS = b"\0"
# The number of guesses that were too high after which the key after the lower bound is looked up.
_GUESSES = 12


@dataclass
class _Point:
    """A point in the range, the first key from it on, and the number of keys still to be read."""

    start: bytes
    first: bytes
    count: int


class Descending(ScanSource):
    """Reads pages in descending order."""

    # Points below the next page, in ascending order; the first page sets it.
    _points: list[_Point]

    async def read(self) -> Messages:
        """Read the next page."""
        if self.count is None:
            most = None if self._left is None else self._left * ENOUGH
            response = await call_page(
                self._channel, self._request, self._limit, most, self._timeout
            )
            self.revision = self._request.revision = self.revision or response.header.revision
            self.count = response.count if self._left is None else min(response.count, self._left)
            self._left = self.count
            kvs = response.kvs
            if not response.more:
                return self._took(kvs)
            self._estimates = KeyEstimates.of(kvs)
            self._points = [
                _Point(self._request.key, kvs[0].key, response.count),
                _Point(kvs[-1].key, kvs[-1].key, response.count - len(kvs) + 1),
            ]
        while True:
            start, count = await self._start_of_page()
            self._request.key = start
            response = await call_page(
                self._channel, self._request, self._limit, count, self._timeout
            )
            if not response.more:
                break
            # The page was too large for the channel, which has lowered the limit.
        while self._points and self._points[-1].start >= start:
            self._points.pop()
        for point in self._points:
            point.count -= count
        self._request.range_end = start
        if count * ENOUGH >= self._limit.keys:
            self._estimates = KeyEstimates.of(response.kvs) or self._estimates
        return self._took(response.kvs)

    def _took(self, kvs: Messages) -> Messages:
        assert self._left is not None
        page = kvs[: -self._left - 1 : -1]
        self._left -= len(page)
        self.more = self._left > 0
        return page

    async def _start_of_page(self) -> tuple[bytes, int]:
        """Find the start of the next page; return it and the number of keys in the page."""
        assert self._left is not None
        most = min(self._limit.keys, self._left * ENOUGH)
        enough = max(most // ENOUGH, 1)
        end = high = self._request.range_end
        # After the limit was halved, the count of the last point may be higher than it.
        low = self._points[-1]
        if low.count <= most:
            while len(self._points) > 1 and self._points[-2].count <= most:
                self._points.pop()
            low = self._points[-1]
            return low.start, low.count
        failed = 0
        estimate = None
        if self._estimates is not None:
            estimate = self._estimates.key_before(end, max(most * 2 // 3, 1))
        while True:
            if estimate is not None and low.first < estimate:
                guess, estimate = estimate, None
            else:
                guess = key_between(low.first, high, failed)
            count, first = await self._look(guess, end)
            if count > most:
                low = _Point(guess, first, count)
                self._points.append(low)
                failed = 0
            elif count >= enough:
                return guess, count
            else:
                high = guess
                failed += 1

    async def _look(self, start: bytes, end: bytes) -> tuple[int, bytes]:
        """Return the number of keys in a range, and the first of them."""
        request = pb.RangeRequest(
            key=start,
            range_end=end,
            limit=1,
            revision=self.revision,
            keys_only=True,
            serializable=self._request.serializable,
        )
        response = await call_range(self._channel, request, self._timeout)
        return response.count, response.kvs[0].key if response.kvs else b""


def key_between(low: bytes, high: bytes, failed: int) -> bytes:
    r"""Return a key between two others; a `high` of `b"\0"` is above all keys.

    `low` is a key that exists, and at least one more key exists between the two. `failed` is the
    number of keys that were tried since `low` was found and were too high.
    """
    after = low + b"\0"
    if failed % _GUESSES == _GUESSES - 1:
        # The next key helps if all keys have a long common prefix.
        return after
    unbounded = high == _END_OF_KEYS
    common = 0 if unbounded else common_length(low, high)
    if failed % 2:
        # The end of a prefix of `low`, which is longer each time: keys often share long prefixes.
        guess = prefix_range_end(low[: common + (1 << failed // 2)])
        if low < guess and (unbounded or guess < high):
            return guess
    # The middle, as binary fractions.
    width = max(len(low), len(high)) + 1 - common
    bottom = int.from_bytes(low[common:].ljust(width, b"\0"), "big")
    top = 256**width if unbounded else int.from_bytes(high[common:].ljust(width, b"\0"), "big")
    middle = ((bottom + top) // 2).to_bytes(width, "big").rstrip(b"\0")
    guess = low[:common] + middle
    return guess if low < guess and (unbounded or guess < high) else after
