"""Reads many keys at one revision, with several transactions in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace

from etcd_channel import ChannelLike, ClientError
from etcd_kv._bulk_cutters import GetCutter
from etcd_kv._bulk_options import BulkOptions
from etcd_kv._bulk_parts import Part
from etcd_kv._bulk_source import BulkSource
from etcd_kv._compaction import call_txn
from etcd_kv.results import Get, gets_of
from etcd_kv.rpcs import TXN

__all__ = ["BulkReader"]

_READ_TXN = replace(TXN, repeatable=True)  # it only reads

Found = list[Get | None]


class BulkReader:
    """One bulk read.

    The first transaction is sent alone, because the others read at its revision.

    A transaction is never cancelled after it was sent: before 3.5.5 etcd can panic when a
    transaction that only reads is cancelled (etcd issue 14110). If its result is no longer
    needed, it ends in a background task of the channel.
    """

    def __init__(
        self, channel: ChannelLike, keys: object, cutter: GetCutter, options: BulkOptions
    ) -> None:
        self._channel = channel
        self._source = BulkSource("keys", keys, cutter)
        self._cutter = cutter
        self._options = options

    async def parts(self) -> AsyncGenerator[tuple[Part, Found], None]:
        """Yield each part with its results, in the order of the keys."""
        source, options = self._source, self._options
        tasks: deque[tuple[Part, asyncio.Task[Found]]] = deque()
        read = 0
        try:
            more = True
            while more or tasks:
                # A finished read waits for at most one more part of a slow source.
                while (
                    more
                    and len(tasks) < (options.in_flight if self._cutter.revision else 1)
                    and not (tasks and tasks[0][1].done())
                ):
                    part = await source.next_part()
                    if part is None:
                        more = False
                    else:
                        tasks.append((part, asyncio.create_task(self._read(part))))
                if tasks:
                    part, task = tasks[0]
                    await asyncio.wait([task])  # unlike `await task`, does not cancel it
                    tasks.popleft()
                    try:
                        found = task.result()
                    finally:
                        # The traceback of its error refers to this frame: break the cycle.
                        del task
                    read += len(found)
                    if options.progress is not None:
                        options.progress(read, source.total)
                    yield part, found
        finally:
            for _, task in tasks:
                self._channel.run_in_background(_ended(task))
            tasks.clear()
        source.raise_failure(read)

    async def _read(self, whole: Part) -> Found:
        """Read a part, in several transactions if the server refuses it as too large."""
        options = self._options
        found: Found = []
        pieces = deque([whole])
        while pieces:
            part = pieces.popleft()
            try:
                response = await call_txn(
                    self._channel, part.request, options.timeout, rpc=_READ_TXN
                )
            except ClientError as error:
                smaller = options.limits.smaller(part, error)
                if not smaller:
                    where = f"in the read of {part.shown(self._source.argument)}"
                    error.hint = where if error.hint is None else f"{error.hint}; {where}"
                    raise
                pieces.extendleft(reversed(smaller))
                continue
            header = response.header
            if not self._cutter.revision:
                self._cutter.revision = header.revision
                for piece in pieces:
                    piece.read_at(header.revision)
            found += gets_of(header, response.responses)
        return found


async def _ended(task: asyncio.Task[Found]) -> None:
    """Wait for a read whose result is no longer needed."""
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
