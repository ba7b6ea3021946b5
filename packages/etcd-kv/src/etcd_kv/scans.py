"""Scans: reads of ranges that do not fit into memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from etcd_channel import Service
from etcd_channel.arguments import check_flag, check_int, check_prefix, check_timeout
from etcd_kv._scan_source import Ascending, PageLimit, ScanSource
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import checked_range, range_request, scan_request
from etcd_kv.results import GetRange
from etcd_kv.rpcs import RANGE_STREAM
from etcd_kv.scan import Scan

__all__ = ["Scans"]


class Scans(Service):
    """The scans of `KVClient`.

    A scan reads a range page by page, all pages at one revision: `revision`, or the newest one
    when the first page is read. Keys that are written during the scan do not change its result.
    While one page is iterated over, the next one is read; only these two are in memory.

    A page has about `page_bytes` bytes. The number of its keys is estimated from the size of the
    keys before, so a page is much larger if its values are. `page_size` is the maximum number of
    keys in a page. If neither is given, a page has about 1 MiB, and etcd 3.7 sends all pages after
    the first one on one stream (`RangeStream`), in parts whose size the server chooses.

    `limit` is the maximum number of keys of the whole scan; None or 0 means all. With `reverse`
    the keys are returned in descending order. The scan starts after the key `start_after`, in its
    own direction; that key need not exist or be in the range. `keys_only` leaves the values out.
    With `serializable` a member answers from its local data, which may be stale. `timeout` is the
    number of seconds that one request may take; None means the channel's timeout.

    etcd cannot read backward. A descending scan searches for the start of each page by requests
    that count keys without loading them, three to ten small ones for each page. So the last keys
    of a large range are found without reading the others.

    When a member fails, the scan continues on another member. With `serializable` it raises
    `FutureRevisionError` if that member does not have the revision yet. Any scan raises
    `RevisionCompactedError` if its revision is compacted before it ends; the error's hint has the
    `start_after` of a scan that continues at a newer revision.
    """

    def scan_prefix(
        self,
        key_prefix: bytes,
        *,
        page_size: int | None = None,
        page_bytes: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        start_after: bytes | None = None,
        revision: int | None = None,
        keys_only: bool = False,
        serializable: bool = False,
        timeout: float | None = None,
    ) -> Scan:
        """Iterate over all keys that begin with `key_prefix`, in ascending order.

        The empty prefix matches every key. Invalid arguments raise `TypeError` or `ValueError`
        in this call, not at the first iteration. See `Scans` for the other arguments.
        """
        start, end = check_prefix("key_prefix", key_prefix)
        request = scan_request(
            start,
            end,
            start_after=start_after,
            reverse=reverse,
            revision=revision,
            keys_only=keys_only,
            serializable=serializable,
        )
        return self._scan(request, page_size, page_bytes, limit, reverse, timeout)

    def scan_range(
        self,
        range_start: bytes,
        range_end: bytes,
        *,
        page_size: int | None = None,
        page_bytes: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        start_after: bytes | None = None,
        revision: int | None = None,
        keys_only: bool = False,
        serializable: bool = False,
        timeout: float | None = None,
    ) -> Scan:
        r"""Iterate over the keys from `range_start` (included) to `range_end` (excluded).

        A `range_end` of `b"\0"` means every key from `range_start` on. See `Scans`
        for the other arguments, and `scan_prefix` for errors.
        """
        start, end = checked_range(range_start, range_end)
        request = scan_request(
            start,
            end,
            start_after=start_after,
            reverse=reverse,
            revision=revision,
            keys_only=keys_only,
            serializable=serializable,
        )
        return self._scan(request, page_size, page_bytes, limit, reverse, timeout)

    def _scan(
        self,
        request: pb.RangeRequest,
        page_size: int | None,
        page_bytes: int | None,
        limit: int | None,
        reverse: bool,
        timeout: float | None,
    ) -> Scan:
        source: type[ScanSource] = Ascending
        if check_flag("reverse", reverse):
            from etcd_kv._scan_descending import Descending

            source = Descending
        left = None if limit is None else check_int("limit", limit) or None
        timeout = None if timeout is None else check_timeout("timeout", timeout)
        return Scan(source(self._channel, request, PageLimit(page_size, page_bytes), left, timeout))

    async def stream_range(
        self,
        range_start: bytes,
        range_end: bytes,
        *,
        limit: int | None = None,
        revision: int | None = None,
        keys_only: bool = False,
        count_only: bool = False,
        serializable: bool = False,
        min_mod_revision: int | None = None,
        max_mod_revision: int | None = None,
        min_create_revision: int | None = None,
        max_create_revision: int | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[GetRange, None]:
        """Iterate over the parts of a range that the server sends on one stream.

        Needs etcd 3.7: with an older server it raises `UnsupportedByServerError`; use
        `scan_range` there. `timeout` is the number of seconds for the whole stream. If the
        connection breaks after the first part, the stream is not retried and a `ClientError`
        is raised. The other arguments are those of `get_range`.
        """
        request = range_request(
            *checked_range(range_start, range_end),
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            count_only=count_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        download = self._channel.download(RANGE_STREAM, request, timeout=timeout)
        async with aclosing(download) as responses:
            async for response in responses:
                part = response.range_response
                yield GetRange.from_response(part.header, part.kvs, part.more, part.count)
