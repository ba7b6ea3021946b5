"""`Follower`, the task that lists a range, watches it, and lists it again when it must."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Final, Generic, TypeVar

from etcd_cache._copy import Copy
from etcd_cache._listing import Listing
from etcd_cache._readers import ReaderQueues
from etcd_cache._signal import Signal
from etcd_cache.errors import CacheClosedError, CacheDecodeError
from etcd_channel import (
    ChannelLike,
    ClientClosedError,
    ClientError,
    ClientForkedError,
    InvalidArgumentError,
    RevisionCompactedError,
    UnauthenticatedError,
    WrongEventLoopError,
)
from etcd_channel.errors import DataLossError, PermissionDeniedError, UnsupportedByServerError
from etcd_channel.tasks import expected
from etcd_kv import KVClient
from etcd_watch import ClusterChangedError, Watch, WatchClient

__all__ = ["Follower"]

V = TypeVar("V")

_log = logging.getLogger("etcd_cache")

# The errors after which it does not help to try again.
_FINAL: Final = (
    CacheDecodeError,
    ClientClosedError,
    ClientForkedError,
    DataLossError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnsupportedByServerError,
    WrongEventLoopError,
)

# The approximate bytes of a page of a list.
_PAGE_BYTES: Final = 4 * 1024 * 1024


class Follower(Generic[V]):
    """Keeps a `Copy` in step with etcd, and tells the readers of its changes.

    `start` and `end` are the range, `timeout` is the number of seconds that a request may take.
    """

    def __init__(
        self,
        channel: ChannelLike,
        start: bytes,
        end: bytes,
        content: Copy[V],
        page_bytes: int | None,
        timeout: float | None,
    ) -> None:
        self.content: Final = content
        self.changed: Final = Signal()
        """Sent after each change of the content, of its revision, and of the state."""
        self._room: Final = Signal()
        self.queues: Final[ReaderQueues[V]] = ReaderQueues(self._room.send)
        self.channel: Final = channel
        self.kv: Final = KVClient(channel)
        self._watches = WatchClient(channel)
        self.start: Final = start
        self.end: Final = end
        self._page_bytes = page_bytes or _PAGE_BYTES
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None
        self._ended: Exception | None = None
        self._watch: Watch | None = None
        self.progress_requested = False
        """Whether a request for progress is not answered yet."""
        self.trouble: ClientError | None = None
        """Why the content cannot follow etcd at present; None if it can."""

    # Beginning and end -----------------------------------------------------------------

    async def begin(self) -> None:
        """Read the first list, create the watch, and start the task.

        On an error and on cancellation nothing is left behind.
        """
        pauses = _Pauses()
        while self._watch is None:
            try:
                await self._list_and_watch(new_history=False)
            except (RevisionCompactedError, ClusterChangedError):  # noqa: PERF203  # rare
                # A compaction has passed the list.
                await asyncio.sleep(pauses.next())
        self._task = asyncio.create_task(self._follow(), name="etcd cache")

    async def close(self) -> None:
        """End the task and the watch; idempotent."""
        self._end(CacheClosedError("the cache is closed: its `async with` was left"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._drop_watch()

    def check(self) -> None:
        """Raise the error that ended the cache, if it has ended, or is not open yet."""
        if self._ended is not None:
            # Each caller gets its own, because an exception changes when it is raised.
            error = copy.copy(self._ended)
            error.__cause__ = self._ended.__cause__
            if isinstance(error, ClientClosedError):
                expected(error)
            raise error
        if self._task is None:
            raise CacheClosedError("the cache is not open: enter it by `async with` first")

    @property
    def closed(self) -> bool:
        """Whether it was closed, and did not end by an error."""
        return isinstance(self._ended, CacheClosedError)

    def _end(self, error: Exception) -> None:
        self._ended = self._ended or error
        self.changed.send()

    # Following -------------------------------------------------------------------------

    async def _follow(self) -> None:
        try:
            await self._follow_for_ever()
        except Exception as error:
            _log.warning("the cache of %r has ended: %s", self.start, str(error))
            self._end(error)

    async def _follow_for_ever(self) -> None:
        pauses = _Pauses()
        new_history = False
        while True:
            try:
                if self._watch is None:
                    await self._list_and_watch(new_history=new_history)
                    new_history = False
                await self._take_responses()
            except _FINAL:
                raise
            except ClientError as error:
                _log.info("the cache of %r lists its keys again: %s", self.start, str(error))
                self.trouble = error
                new_history |= isinstance(error, ClusterChangedError)
            await self._drop_watch()
            await asyncio.sleep(pauses.next())

    async def _take_responses(self) -> None:
        assert self._watch is not None
        content = self.content
        async for response in self._watch.responses():
            if response.is_progress:
                self.progress_requested = False
                content.advance(response.header.revision)
            else:
                tell = self.queues.any
                self.queues.add(content.take_events(response.events, tell=tell))
            self.changed.send()
            await self._until_there_is_room()

    async def _until_there_is_room(self) -> None:
        while self.queues.any_is_full:
            await self._room.wait()

    async def _list_and_watch(self, *, new_history: bool) -> None:
        content = self.content
        listing = Listing()
        scan = self.kv.scan_range(
            self.start, self.end, page_bytes=self._page_bytes, timeout=self._timeout
        )
        async with scan:
            async for page in scan.pages():
                listing.add(page.as_received())
        if scan.revision < content.revision and not new_history:
            # The read was linearizable, so the history that the content is from is no more.
            _log.warning(
                "the revision of etcd has fallen from %d to %d: was it restored from a backup?",
                content.revision,
                scan.revision,
            )
            new_history = True
        changes = content.take_list(
            scan.revision, listing, new_history=new_history, tell=self.queues.any
        )
        self.queues.add_list(changes)
        self.changed.send()
        await self._until_there_is_room()
        self._watch = await self._watches.watch(
            self.start,
            self.end,
            start_revision=scan.revision + 1,
            progress_notify=True,
            timeout=self._timeout,
        )
        self.progress_requested = False
        self.trouble = None

    async def _drop_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.cancel()

    async def request_progress(self) -> None:
        """Ask for the progress of the watch, unless an answer is awaited already."""
        if self._watch is not None and not self.progress_requested:
            self.progress_requested = True
            await self._watch.request_progress()


class _Pauses:
    """The pauses in seconds before another list: longer each time, short again after a while."""

    _FIRST: Final = 0.05
    _LONGEST: Final = 5.0
    _SHORT_AGAIN_AFTER: Final = 20.0

    def __init__(self) -> None:
        self._pause = self._FIRST
        self._last = asyncio.get_running_loop().time()

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        import random  # here, so that it is imported only if an attempt fails

        now = asyncio.get_running_loop().time()
        if now - self._last > self._SHORT_AGAIN_AFTER:
            self._pause = self._FIRST
        self._last = now
        pause, self._pause = self._pause, min(2 * self._pause, self._LONGEST)
        return pause * random.uniform(0.5, 1.0)
