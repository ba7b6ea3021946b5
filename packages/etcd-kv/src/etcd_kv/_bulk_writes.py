"""Sends the parts of a bulk write, several at a time; two with the same key in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from etcd_channel import ChannelLike, ClientError
from etcd_channel.tasks import finish
from etcd_kv._bulk_options import BulkOptions
from etcd_kv._bulk_parts import Part
from etcd_kv._bulk_source import BulkSource
from etcd_kv.bulk_results import BulkError, DeleteMany, PutMany
from etcd_kv.rpcs import TXN

__all__ = ["BulkWriter"]


class BulkWriter:
    """One bulk write: reads its source, sends the parts, and records the outcome of each.

    After the first failure it reads and sends nothing more, and waits for the parts in flight,
    so that their outcome is known.
    """

    def __init__(
        self,
        channel: ChannelLike,
        source: BulkSource,
        result: PutMany | DeleteMany,
        options: BulkOptions,
    ) -> None:
        self._channel = channel
        self._source = source
        self._result = result
        self._options = options
        self._tasks: dict[asyncio.Task[None], Part] = {}
        self._keys: set[bytes] = set()  # of the parts in flight
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._failed: Part | None = None
        result._begin()

    async def run(self) -> None:
        """Write all items of the source."""
        source, result = self._source, self._result
        try:
            await self._send_all()
            await self._until(lambda: not self._tasks)
            self._raise_failure()
        except BaseException as error:
            for task in self._tasks:
                task.cancel()
            if isinstance(error, asyncio.CancelledError):
                await finish(self._until(lambda: not self._tasks), error)
            raise
        finally:
            for part in source.rest():
                result._record_read(part)
        source.raise_failure(result.read)

    async def _send_all(self) -> None:
        while self._failure is None:
            part = await self._source.next_part(lambda: self._failure is not None)
            if part is None:
                return
            await self._send(part)
            # Wait before the next part is read: the source is read only as fast as it is written.
            await self._until(lambda: len(self._tasks) < self._options.in_flight)

    async def _send(self, part: Part) -> None:
        """Start to send a part, unless another part has failed."""
        self._result._record_read(part)
        await self._until(lambda: self._keys.isdisjoint(part.keys))
        if self._failure is not None:
            return
        task = asyncio.create_task(self._deliver(part))
        self._tasks[task] = part
        self._keys |= part.keys
        task.add_done_callback(self._delivered)

    async def _deliver(self, whole: Part) -> None:
        """Send a part, in several transactions if the server refuses it as too large."""
        result, options, pieces = self._result, self._options, deque([whole])
        while pieces and self._failure is None:
            part = pieces.popleft()
            result._record_sent(part)
            try:
                response = await self._channel.call(TXN, part.request, timeout=options.timeout)
            except ClientError as error:
                result._record_failed(part, error)
                smaller = options.limits.smaller(part, error) if error.definite else []
                if not smaller:
                    self._fail(error, part)
                    return
                result._record_split(part, smaller)
                pieces.extendleft(reversed(smaller))
            else:
                result._record_done(part, response)
                if options.progress is not None:
                    options.progress(result.done, self._source.total)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._keys -= self._tasks.pop(task).keys
        self._ended.set()
        if task.cancelled():
            self._fail(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException, part: Part | None = None) -> None:
        if self._failure is None:
            self._failure, self._failed = error, part

    def _raise_failure(self) -> None:
        error, part = self._failure, self._failed
        if error is None:
            return
        try:
            if part is not None and isinstance(error, ClientError):
                # The frames of its traceback would keep the whole call in memory.
                raise self._bulk_error(part, error) from error.with_traceback(None)
            raise error
        finally:
            # The error's traceback refers to this frame: break the reference cycle.
            self._failure = None
            del error

    def _bulk_error(self, part: Part, error: ClientError) -> BulkError:
        result = self._result
        return BulkError(
            f"{part.shown(self._source.argument)}: {error.message}; {result._counts}",
            result=result,
            part=result._recorded(part),
            code=error.code,
            method=error.method,
            endpoint=error.endpoint,
            definite=not (result.done or result.unknown),
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._ended.clear()
            await self._ended.wait()
