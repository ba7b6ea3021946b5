"""Waits until the content of a cache is as new as a revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from etcd_cache._follower import Follower
from etcd_cache._versions import ProgressVersions
from etcd_cache.errors import CacheTimeoutError
from etcd_channel import ConnectionFailedError, ConnectionTimeoutError
from etcd_channel.deadline import Deadline

__all__ = ["CatchingUp", "timed_out"]

V = TypeVar("V")

# The seconds to wait for an answer, or for an event, before the next question.
_NEXT_QUESTION: Final = 1.0
# The seconds to wait for an event that is on its way, before a read that costs the server much.
_ON_ITS_WAY: Final = 0.02


class CatchingUp(Generic[V]):
    """Makes the revision of a cache advance while someone waits for it.

    Without changes of its keys nothing tells a cache that it is up to date. One of the waiting
    tasks asks for all of them: first by a progress request, if the answer can be relied on; then,
    in case that is not answered, by a read that proves it.
    """

    def __init__(self, follower: Follower[V]) -> None:
        self._follower = follower
        self._versions = ProgressVersions(follower.channel)
        self._asking = False

    async def present_revision(self, deadline: Deadline) -> int:
        """Return the revision of etcd's store now, by a linearizable read of one key."""
        follower = self._follower
        most = follower.channel.timeout
        with self._in_time(deadline):
            found = await follower.kv.get_range(
                follower.start, None, count_only=True, timeout=deadline.timeout(most)
            )
        return found.header.revision

    async def until(self, revision: int, deadline: Deadline) -> None:
        """Wait until the content is at `revision` or later."""
        follower = self._follower
        while follower.content.revision < revision:
            follower.check()
            if deadline.passed:
                raise timed_out(
                    follower, f"the cache did not reach revision {revision} within the timeout"
                )
            if self._asking:
                await follower.changed.wait(deadline.remaining())
                continue
            self._asking = True
            try:
                await self._ask(revision, deadline)
            finally:
                self._asking = False
                # Another task must ask now, if this one got an error or was cancelled.
                follower.changed.send()

    async def until_listed(self, lists: int, deadline: Deadline) -> None:
        """Wait until the cache has taken more than so many lists."""
        follower = self._follower
        while follower.content.lists <= lists:
            follower.check()
            if deadline.passed:
                raise timed_out(
                    follower,
                    "the revision of etcd has fallen, as after a restore from a backup, and the"
                    " cache did not read its keys again within the timeout",
                )
            await follower.changed.wait(deadline.remaining())

    async def _ask(self, revision: int, deadline: Deadline) -> None:
        follower = self._follower
        if await self._versions.is_reliable(deadline.timeout(follower.channel.timeout)):
            # etcd's grpc-proxy does not answer it. So if an earlier one was not answered yet, it is
            # not waited for as long.
            patience = _ON_ITS_WAY if follower.progress_requested else _NEXT_QUESTION
            await follower.request_progress()
        else:
            patience = _ON_ITS_WAY
        if await self._came(revision, deadline.within(patience)) or deadline.passed:
            return
        await self._prove(deadline)
        await self._came(revision, deadline.within(_NEXT_QUESTION))

    async def _came(self, revision: int, deadline: Deadline) -> bool:
        """Wait for the revision; return whether it came before the deadline."""
        follower = self._follower
        while follower.content.revision < revision:
            follower.check()
            if deadline.passed:
                return False
            await follower.changed.wait(deadline.remaining())
        return True

    async def _prove(self, deadline: Deadline) -> None:
        """Read whether any key was changed since; advance the content if none was.

        No key that exists was changed since, and there are as many keys: so none was deleted.
        """
        follower, content = self._follower, self._follower.content
        lists, since = content.lists, content.revision
        with self._in_time(deadline):
            found = await follower.kv.get_range(
                follower.start,
                follower.end,
                keys_only=True,
                limit=1,
                min_mod_revision=since + 1,
                timeout=deadline.timeout(follower.channel.timeout),
            )
        if len(found) or content.lists != lists or found.count != content.keys_in_etcd:
            return
        if found.header.revision > content.revision:
            content.prove(found.header.revision)
            follower.changed.send()

    @contextmanager
    def _in_time(self, deadline: Deadline) -> Iterator[None]:
        """Raise `CacheTimeoutError` for a request that failed because the deadline has passed."""
        # Not by the clock alone: gRPC and the server measure the timeout by clocks of their own.
        ends_together = deadline.within(self._follower.channel.timeout) is deadline
        try:
            yield
        except (ConnectionFailedError, ConnectionTimeoutError) as error:
            timed_out_together = ends_together and isinstance(error, ConnectionTimeoutError)
            if not (timed_out_together or deadline.passed):
                raise
            message = "etcd did not answer the cache within the timeout"
            raise timed_out(self._follower, message) from error


def timed_out(follower: Follower[V], message: str) -> CacheTimeoutError:
    """Return the error of a timeout, with the reason if there is a known one."""
    error = CacheTimeoutError(message)
    if follower.trouble is not None:
        error.hint = f"the cache cannot follow etcd: {follower.trouble}"
        error.__cause__ = follower.trouble
    return error
