"""`Scan` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from types import TracebackType

import etcd_client
from etcd_client import KeyValue, KeyValues
from etcd_sync._handle import Handle
from etcd_sync._iteration import Iteration

__all__ = ["Scan"]


class Scan(Handle):
    """An iterator over the keys of a range, all at one revision; created by `KVClient`.

    Iterate over it once: `for kv in scan`, or `for page in scan.pages()`, which costs less for each
    key. While one page is iterated over, the next one is read; only these two are in memory.

    A scan is closed when it ends or raises. To end it early, use `scan.close()` or `with scan:`.
    After a `break` alone it is closed when Python deletes it; until then at most one request is in
    flight.
    """

    _inner: etcd_client.Scan

    @property
    def revision(self) -> int:
        """The revision at which all keys are read; 0 before the first page, unless it was given."""
        return self._inner.revision

    @property
    def count(self) -> int | None:
        """The number of keys that the whole scan returns; None before the first page."""
        return self._inner.count

    @property
    def done(self) -> int:
        """The number of keys in the pages that were returned completely; at the end, `count`."""
        return self._inner.done

    @property
    def last_key(self) -> bytes | None:
        """The last key of the pages that were returned completely; None before the first one.

        After an error it is the last key that was returned: a new scan with this key as
        `start_after` returns the remaining keys.
        """
        return self._inner.last_key

    def pages(self) -> Iteration[KeyValues]:
        """Iterate over the pages instead of the keys; a page is a sequence of `KeyValue`s.

        No page is empty.
        """
        if self._pages is None:
            self._pages = self._portal.iterate(self._inner.pages())
        return self._pages

    def __next__(self) -> KeyValue:
        if self._items is None:
            self._items = chain.from_iterable(self.pages())
        try:
            return next(self._items)
        except StopIteration:
            # It ends too when reading a page has raised: the pages know why.
            self._items = chain.from_iterable(self.pages())
            return next(self._items)

    def close(self) -> None:
        """End the scan; a read in flight is given up. Idempotent."""
        if self._pages is not None:
            self._pages.close()
        self._portal.run(self._inner.aclose)

    def __enter__(self) -> Scan:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)

    _items: Iterator[KeyValue] | None = None
    _pages: Iteration[KeyValues] | None = None

    def __iter__(self) -> Iterator[KeyValue]:
        return self
