"""Reading ranges that are larger than one likes to hold at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from etcd_channel import KeyValue, RevisionCompactedError, Service
from etcd_channel.arguments import check_flag, check_int
from etcd_kv._compaction import with_compacted_revision
from etcd_kv.requests import checked_prefix, checked_range, range_request
from etcd_kv.results import GetRange
from etcd_kv.rpcs import RANGE, RANGE_STREAM

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from etcd_kv.requests import RangeOptions

__all__ = ["Scans"]


class Scans(Service):
    """The scans of the key-value service; part of `KVClient`.

    A scan reads a range in pages, all of them at one revision: that of the first page, or
    `revision`. So it shows the range as it was at one moment, however long it takes, and
    holds no more than a page. `page_size` is the most keys of a page; `keys_only` leaves
    the values out, `serializable` lets a member answer from what it has. `timeout` is the
    number of seconds that a page may take, None the channel's.

    A member that fails is replaced by another between pages. A scan that takes so long that
    its revision is compacted meanwhile ends in `RevisionCompactedError`.
    """

    async def scan_prefix(
        self,
        key_prefix: bytes,
        *,
        page_size: int = 1000,
        revision: int | None = None,
        keys_only: bool = False,
        serializable: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[KeyValue, None]:
        """Iterate over all keys that begin with `key_prefix`, in their order, by pages.

        The empty prefix is every key's.
        """
        async for keyvalue in self._scan(
            *checked_prefix(key_prefix), page_size, revision, keys_only, serializable, timeout
        ):
            yield keyvalue

    async def scan_range(
        self,
        range_start: bytes,
        range_end: bytes,
        *,
        page_size: int = 1000,
        revision: int | None = None,
        keys_only: bool = False,
        serializable: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[KeyValue, None]:
        r"""Iterate over the keys from `range_start` up to, and without, `range_end`, by pages.

        `b"\0"` as the end stands for the end of all keys.
        """
        async for keyvalue in self._scan(
            *checked_range(range_start, range_end),
            page_size,
            revision,
            keys_only,
            serializable,
            timeout,
        ):
            yield keyvalue

    async def _scan(
        self,
        start: bytes,
        end: bytes,
        page_size: int,
        revision: int | None,
        keys_only: bool,
        serializable: bool,
        timeout: float | None,
    ) -> AsyncGenerator[KeyValue, None]:
        request = range_request(start, end)
        request.limit = check_int("page_size", page_size, minimum=1)
        request.revision = 0 if revision is None else check_int("revision", revision)
        request.keys_only = check_flag("keys_only", keys_only)
        request.serializable = check_flag("serializable", serializable)
        while True:
            try:
                page = await self._channel.call(RANGE, request, timeout=timeout)
            except RevisionCompactedError as error:
                raise await with_compacted_revision(
                    self._channel, error, start, request.revision + 1, timeout
                ) from error.__cause__
            for keyvalue in page.kvs:
                yield KeyValue(keyvalue)
            if not page.more:
                return
            request.revision = request.revision or page.header.revision
            # The lowest key above the last one that was read.
            request.key = page.kvs[-1].key + b"\0"

    async def stream_range(
        self,
        range_start: bytes,
        range_end: bytes,
        *,
        timeout: float | None = None,
        **options: Unpack[RangeOptions],
    ) -> AsyncGenerator[GetRange, None]:
        """Iterate over the pieces of a range, as the server sends them on one stream.

        For etcd 3.7 and newer; an older one answers with `UnsupportedByServerError`, and
        `scan_range` does the same by pages. `timeout` holds for the whole. A connection that
        breaks on the way ends it with a `ClientError`. The rest is as in `get_range`.
        """
        request = range_request(*checked_range(range_start, range_end), options=options)
        async for response in self._channel.download(RANGE_STREAM, request, timeout=timeout):
            piece = response.range_response
            yield GetRange(piece.header, piece.kvs, piece.more, piece.count)
