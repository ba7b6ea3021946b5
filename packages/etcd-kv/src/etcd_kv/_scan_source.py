"""Reads the pages of a scan in ascending order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from etcd_channel import ChannelLike, ClientError, KeyValueLike
from etcd_channel.arguments import MAX_TIMEOUT, check_int
from etcd_channel.errors import ResourceExhaustedError, UnsupportedByServerError
from etcd_kv._compaction import call_range
from etcd_kv._key_estimates import KeyEstimates
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.rpcs import RANGE_STREAM

__all__ = ["ENOUGH", "Ascending", "Messages", "PageLimit", "ScanSource", "call_page"]

Messages = Sequence[KeyValueLike]

_PAGE_BYTES: Final = 1024 * 1024
# The limit of the first page: the size of its keys is not known.
_FIRST_LIMIT: Final = 100
# The maximum ratio of a limit to the one before it, in case the next values are larger.
_GROWTH: Final = 8
# A page with fewer keys than its limit divided by this is too small to estimate from.
ENOUGH: Final = 4
# The number of successive ranges with too few keys after which no more are estimated.
_WRONG_ESTIMATES: Final = 4
# The number of keys from which the size of a page is estimated.
_SAMPLE: Final = 100
# The approximate bytes of the numbers of a key: its revisions, version and lease.
_BYTES_OF_NUMBERS: Final = 20
# In gRPC's error for a response that is larger than the channel's options allow.
_RESPONSE_TOO_LARGE: Final = "larger than max"


class PageLimit:
    """The maximum number of keys in the next page.

    It is adapted to the size of the pages that were read, so that the next one has about
    `page_bytes` bytes.
    """

    def __init__(self, page_size: int | None, page_bytes: int | None) -> None:
        self._most = None if page_size is None else check_int("page_size", page_size, minimum=1)
        if page_bytes is not None:
            page_bytes = check_int("page_bytes", page_bytes, minimum=1)
        elif page_size is None:
            page_bytes = _PAGE_BYTES
        self._bytes = page_bytes
        self._refused = False
        # Pages by count alone have their full size from the first one on.
        self._keys = self._at_most(_FIRST_LIMIT) if page_bytes or not self._most else self._most

    @property
    def by_count(self) -> bool:
        """Whether the number of keys in a page was given."""
        return self._most is not None

    @property
    def keys(self) -> int:
        """The maximum number of keys."""
        return self._keys

    def learn(self, response: pb.RangeResponse) -> None:
        """Adapt the limit to a page that was read."""
        if not response.kvs or (self._bytes is None and not self._refused):
            return
        size = _size_of(response.kvs)
        if self._refused or self._bytes is None:
            # Pages of this size are the largest that the channel is known to accept.
            self._bytes = size
            self._refused = False
        fitting = self._bytes * len(response.kvs) // size
        self._keys = self._at_most(max(min(fitting, self._keys * _GROWTH), 1))

    def halve(self) -> bool:
        """Halve the limit, because a response was too large; return whether that is possible."""
        if self._keys == 1:
            return False
        self._keys //= 2
        self._refused = True
        return True

    def _at_most(self, keys: int) -> int:
        return keys if self._most is None else min(keys, self._most)


def _size_of(kvs: Messages) -> int:
    """Estimate the bytes of a page by some of its keys.

    `ByteSize` is exact, but it encodes the page again, which takes longer than everything else
    that is done with a page.
    """
    some = kvs[:: max(len(kvs) // _SAMPLE, 1)]
    size = sum(len(kv.key) + len(kv.value) + _BYTES_OF_NUMBERS for kv in some)
    return size * len(kvs) // len(some)


class ScanSource(ABC):
    """Reads the pages of a scan, one after another.

    `request` is the read of the whole range without its limit. `left` is the number of keys to
    return; None means all.
    """

    def __init__(
        self,
        channel: ChannelLike,
        request: pb.RangeRequest,
        limit: PageLimit,
        left: int | None,
        timeout: float | None,
    ) -> None:
        self._channel = channel
        self._request = request
        self._limit = limit
        self._left = left
        self._timeout = timeout
        # The end of the whole range; that of the request changes.
        self._end = request.range_end
        self._estimates: KeyEstimates | None = None
        self._parts: AsyncGenerator[pb.RangeStreamResponse, None] | None = None
        self.revision: int = request.revision
        """The revision of the scan; 0 if it is not known yet."""
        self.count: int | None = None
        """The number of keys that the scan returns; None if it is not known yet."""
        self.more = True
        """Whether there may be another page."""

    @property
    def open(self) -> bool:
        """Whether a stream is open, which must be closed."""
        return self._parts is not None

    @abstractmethod
    async def read(self) -> Messages:
        """Read the next page; it may be empty."""

    async def aclose(self) -> None:
        """Close the stream, if one is open; no `read` may be running."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.aclose()


class Ascending(ScanSource):
    """Reads pages in ascending order.

    The first page is read by one Range. The others are read by one RangeStream, or by a Range
    each if the server does not have RangeStream.

    For a Range etcd counts all keys from its start to its end, however low its limit is; with a
    small page of a large range this takes longer than everything else. So each page except the
    first one is read from a part of the range that is estimated to have a few more keys than
    the page.
    """

    _stream_failed = False
    _wrong_estimates = 0

    async def read(self) -> Messages:
        """Read the next page."""
        first = self.count is None
        if not (first or self._limit.by_count or self._stream_failed):
            part = await self._next_part()
            if part is not None:
                return self._took(part, more=self.more)
        request, most = self._request, self._limit.keys
        response = await call_page(self._channel, request, self._limit, self._left, self._timeout)
        if first:
            self.revision = request.revision = self.revision or response.header.revision
            self.count = response.count
            if self._left is not None:
                self.count = min(self.count, self._left)
        if not response.more and request.range_end != self._end:
            kvs = self._took(response.kvs, more=True)
            request.key = request.range_end
        else:
            kvs = self._took(response.kvs, more=response.more)
        if self.more:
            request.range_end = self._next_end(response, most)
        return kvs

    def _next_end(self, response: pb.RangeResponse, most: int) -> bytes:
        """Return the end of the range from which the next page is read."""
        if response.more or len(response.kvs) * ENOUGH >= most:
            self._wrong_estimates = 0
            self._estimates = KeyEstimates.of(response.kvs) or self._estimates
        else:
            self._wrong_estimates += 1
        if self._estimates is None or self._wrong_estimates > _WRONG_ESTIMATES:
            return self._end
        wanted = self._limit.keys + self._limit.keys // 2
        wanted <<= 2 * self._wrong_estimates**2
        end = self._estimates.key_after(self._request.key, wanted)
        if end is None or (self._end != b"\0" and end > self._end):
            return self._end
        return end

    def _took(self, kvs: Messages, *, more: bool) -> Messages:
        if self._left is not None:
            kvs = kvs if len(kvs) <= self._left else kvs[: self._left]
            self._left -= len(kvs)
            more = more and self._left > 0
        self.more = more
        if kvs:
            # The lowest possible key after the last one that was read.
            self._request.key = kvs[-1].key + b"\0"
        return kvs

    async def _next_part(self) -> Messages | None:
        """Read the next part of the stream; return None if the next page must be a Range.

        Whatever the error of the stream is, a Range from the last key on either succeeds or raises
        the error for the caller.
        """
        support = self._channel.shared(_StreamSupport)
        if support.missing:
            self._stream_failed = True
            return None
        opened = self._parts is None
        if self._parts is None:
            self._request.limit = self._left or 0
            self._request.range_end = self._end
            # Without a timeout: the caller decides how much time passes between two parts.
            self._parts = self._channel.download(RANGE_STREAM, self._request, timeout=MAX_TIMEOUT)
        seconds = self._channel.timeout if self._timeout is None else self._timeout
        try:
            while True:
                response = await asyncio.wait_for(anext(self._parts), seconds)
                if response.range_response.kvs:
                    return response.range_response.kvs
        except StopAsyncIteration:
            self.more = False
            return ()
        except UnsupportedByServerError:
            support.missing = True
        except (ClientError, asyncio.TimeoutError):
            # If not even the first part was received, no further stream is tried.
            self._stream_failed = opened
        await self.aclose()
        return None


class _StreamSupport:
    """Whether the server has RangeStream, which all scans on a channel share."""

    def __init__(self, channel: ChannelLike) -> None:
        self.missing = False


async def call_page(
    channel: ChannelLike,
    request: pb.RangeRequest,
    limit: PageLimit,
    left: int | None,
    timeout: float | None,
) -> pb.RangeResponse:
    """Read one page of the limit's size; a smaller one if the channel refuses it as too large."""
    while True:
        request.limit = limit.keys if left is None else min(limit.keys, left)
        try:
            response = await call_range(channel, request, timeout)
        except ResourceExhaustedError as error:
            if _RESPONSE_TOO_LARGE not in error.message or not limit.halve():
                raise
        else:
            limit.learn(response)
            return response
