"""`Scan`, the iterator over the keys of a range, which reads it page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from types import TracebackType
from typing import Any

from etcd_channel import KeyValue, KeyValues, NonCopyable, RevisionCompactedError
from etcd_channel.tasks import finish
from etcd_kv._scan_source import Messages, ScanSource

__all__ = ["Scan"]


class Scan(NonCopyable, AsyncIterator[KeyValue]):
    """An iterator over the keys of a range, all at one revision; created by `KVClient`.

    Iterate over it once: `async for kv in scan`, or `async for page in scan.pages()`, which costs
    less for each key. While one page is iterated over, the next one is read; only these two are
    in memory.

    A scan is closed when it ends or raises. To end it early, use `await scan.aclose()` or
    `async with scan:`. After a `break` alone it is closed when Python deletes it; until then at
    most one request is in flight.
    """

    def __init__(self, source: ScanSource) -> None:
        # The iterators do not refer to this object, so Python deletes it at once after a `break`.
        self._reader = _Reader(source)
        self._items = _items(self._reader)
        self._pages: AsyncGenerator[KeyValues, None] | None = None

    @property
    def revision(self) -> int:
        """The revision at which all keys are read; 0 before the first page, unless it was given."""
        return self._reader.source.revision

    @property
    def count(self) -> int | None:
        """The number of keys that the whole scan returns; None before the first page."""
        return self._reader.source.count

    @property
    def done(self) -> int:
        """The number of keys in the pages that were returned completely; at the end, `count`."""
        return self._reader.done

    @property
    def last_key(self) -> bytes | None:
        """The last key of the pages that were returned completely; None before the first one.

        After an error it is the last key that was returned: a new scan with this key as
        `start_after` returns the remaining keys.
        """
        return self._reader.last_key

    def pages(self) -> AsyncIterator[KeyValues]:
        """Iterate over the pages instead of the keys; a page is a sequence of `KeyValue`s.

        No page is empty.
        """
        if self._pages is None:
            self._pages = _pages(self._reader)
        return self._pages

    def __aiter__(self) -> AsyncIterator[KeyValue]:
        # The generator itself: its __anext__ costs less than one of this class.
        return self._items

    def __anext__(self) -> Coroutine[Any, Any, KeyValue]:
        return self._items.__anext__()

    async def aclose(self) -> None:
        """End the scan; a read in flight is cancelled. Idempotent."""
        await self._items.aclose()
        if self._pages is not None:
            await self._pages.aclose()
        await self._reader.aclose()

    async def __aenter__(self) -> Scan:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        count = "unknown" if self.count is None else self.count
        return f"Scan(revision={self.revision}, done={self.done}, count={count})"


async def _items(reader: _Reader) -> AsyncGenerator[KeyValue, None]:
    async with reader:
        while page := await reader.next_page():
            for item in KeyValues(page):
                yield item


async def _pages(reader: _Reader) -> AsyncGenerator[KeyValues, None]:
    async with reader:
        while page := await reader.next_page():
            yield KeyValues(page)


# Iterations of the event loop until a request that a new task makes has been given to gRPC.
_ITERATIONS_TO_SEND = 3


class _Reader:
    """Reads the pages of a source, one page ahead of the caller."""

    def __init__(self, source: ScanSource) -> None:
        self.source = source
        self.done = 0
        self.last_key: bytes | None = None
        # The number of keys and the last key of the page that the caller iterates over.
        self._given: tuple[int, bytes] | None = None
        self._ahead: asyncio.Task[Messages] | None = None
        self._closed = False

    async def next_page(self) -> Messages:
        """Return the next page that is not empty; return an empty one at the end."""
        if self._given is not None:
            self.done += self._given[0]
            self.last_key = self._given[1]
            self._given = None
        page: Messages = ()
        try:
            while not page and not self._closed and (self._ahead or self.source.more):
                page = await self._read()
        except RevisionCompactedError as error:
            if self.last_key is not None:
                resume = f"scan on at a newer revision with start_after={self.last_key!r}"
                error.hint = resume if error.hint is None else f"{error.hint}; {resume}"
            raise
        if page:
            self._given = len(page), page[-1].key
            if self.source.more:
                self._ahead = asyncio.create_task(self.source.read(), name="etcd scan")
                self._ahead.add_done_callback(_retrieve)
                for _ in range(_ITERATIONS_TO_SEND):
                    await asyncio.sleep(0)
        return page

    async def _read(self) -> Messages:
        if self._ahead is None:
            return await self.source.read()
        await asyncio.wait([self._ahead])
        ahead, self._ahead = self._ahead, None
        try:
            return ahead.result()
        finally:
            del ahead  # the error's traceback refers to this frame

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.aclose(error)
        finally:
            del error, traceback  # the traceback refers to this frame

    async def aclose(self, after: BaseException | None = None) -> None:
        """Cancel the read that is in flight, and wait until it has ended."""
        self._closed = True
        if self._ahead is not None or self.source.open:
            await finish(self._end(), after)

    async def _end(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait([ahead])
        await self.source.aclose()


def _retrieve(task: asyncio.Task[Messages]) -> None:
    """Retrieve an error, so that asyncio does not report it if the read is never awaited."""
    if not task.cancelled():
        task.exception()
