"""The source of the items of a bulk operation: an iterable or an async iterable."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from functools import partial
from typing import Any

from etcd_kv._bulk_cutters import Cutter
from etcd_kv._bulk_parts import Part
from etcd_kv.bulk_source import IterableElsewhere

__all__ = ["BulkSource"]


class BulkSource:
    """Reads the items of one part at a time, and at most one item more.

    The iterator is not closed, so that the caller can continue to read from it.
    """

    def __init__(self, argument: str, source: object, cutter: Cutter) -> None:
        self.argument = argument
        """The name of the argument that the source is."""
        self._cutter = cutter
        self.total: int | None = None
        """The number of items; None if the source has no length."""
        self._items: Iterator[Any] | None = None
        self._arriving: AsyncIterator[Any] | None = None
        self._elsewhere: IterableElsewhere | None = None
        self._failure: Exception | None = None
        if isinstance(source, Mapping):
            source = source.items() if argument == "pairs" else source.keys()
        if isinstance(source, IterableElsewhere):
            self._elsewhere = source
        elif isinstance(source, AsyncIterable):
            self._arriving = aiter(source)
        elif isinstance(source, Iterable) and not isinstance(source, (str, bytes, bytearray)):
            self._items = iter(source)
        else:
            raise TypeError(
                f"{argument} must be an iterable or an async iterable of {argument},"
                f" not {type(source).__name__}"
            )
        if isinstance(source, Sized):
            self.total = len(source)

    async def next_part(self, stopped: Callable[[], bool] | None = None) -> Part | None:
        """Return the next part; None at the end of the source.

        An invalid item or an exception of the source ends it too; `raise_failure` raises the
        error. `stopped` is called after each item of an iterable that may be slow, because it is
        asynchronous or read elsewhere; if it returns True, no more items are read, and None is
        returned.
        """
        cutter = self._cutter
        try:
            # An iterator is not called again after its end: one that reads a queue would block.
            if self._items is not None:
                if not cutter.fill(self._items):
                    self._items = None
            elif self._elsewhere is not None:
                if not await self._elsewhere.read(partial(self._fill, stopped)):
                    if stopped is not None and stopped():
                        return None
                    self._elsewhere = None
            elif not cutter.fill(()) and self._arriving is not None:
                async for item in self._arriving:
                    if cutter.fill((item,)):
                        break
                    if stopped is not None and stopped():
                        return None
                else:
                    self._arriving = None
        except Exception as error:
            self._failure = error
            self._items = self._arriving = self._elsewhere = None
        return cutter.take()

    def _fill(self, stopped: Callable[[], bool] | None, items: Iterator[Any]) -> bool:
        return self._cutter.fill(items if stopped is None else _until(stopped, items))

    def rest(self) -> list[Part]:
        """Return the items that were read and not returned by `next_part`, as parts."""
        return self._cutter.rest()

    def raise_failure(self, read: int) -> None:
        """Raise the error that ended the source, if any; `read` items came before it."""
        failure, self._failure = self._failure, None
        refusal = self._cutter.refusal
        try:
            if failure is not None:
                raise failure
            if refusal is not None:
                raise type(refusal)(f"{refusal}; the {read} {self.argument} before it are done")
        finally:
            # The traceback refers to this frame: break the reference cycle.
            del failure


def _until(stopped: Callable[[], bool], items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        yield item
        if stopped():
            return
