"""`Cache`, a live, ordered copy of a prefix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, overload

from etcd_cache._catching_up import CatchingUp, timed_out
from etcd_cache._copy import Copy
from etcd_cache._decoding import Decoding
from etcd_cache._follower import Follower
from etcd_cache.changes import CacheChange, CacheGap
from etcd_cache.entries import CacheEntries
from etcd_cache.entry import CacheEntry
from etcd_cache.reader import CacheReader
from etcd_channel import ChannelLike, ClientError, NonCopyable
from etcd_channel.arguments import (
    check_choice,
    check_flag,
    check_int,
    check_key,
    check_prefix,
    check_timeout,
)
from etcd_channel.deadline import Deadline
from etcd_channel.tasks import finish
from etcd_kv.requests import checked_range

__all__ = ["Cache"]

V = TypeVar("V")
T = TypeVar("T")

_READER_BUFFER = 1000


class Cache(NonCopyable, Generic[V]):
    """A copy of all keys that begin with a prefix, which follows etcd; made by `CacheClient`.

        async with client.cache(b"config/") as config:
            entry = config.get(b"config/limit")

    Entering reads all keys by pages at one revision, and watches them from there. Reads do not wait
    and send nothing. What they return is the state of etcd at `revision`: all keys of one
    revision, and never an earlier one than before. It may be out of date, by the time that an event
    takes, or by as long as the connection is broken; `catch_up` waits until it is not.

    The cache survives breaks of the connection, and compaction: if events are gone, it reads all
    keys again, and the differences are changes with `from_list`. It ends by an error only if it is
    not permitted to read the keys, if the client is closed, or if `on_undecodable` says so. All
    methods raise that error then, and `CacheClosedError` outside of the `async with`.

    A cache belongs to one event loop, and can be entered once.
    """

    def __init__(
        self,
        channel: ChannelLike,
        key_prefix: bytes,
        decoding: Decoding[V] | None,
        *,
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> None:
        start, end = check_prefix("key_prefix", key_prefix)
        self._prefix = bytes(key_prefix)
        self._start, self._end = start, end
        if page_bytes is not None:
            page_bytes = check_int("page_bytes", page_bytes, minimum=1)
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        self._content: Copy[V] = Copy(decoding)
        self._follower = Follower(channel, start, end, self._content, page_bytes, timeout)
        self._catching_up = CatchingUp(self._follower)
        self._entered = False

    async def __aenter__(self) -> Cache[V]:
        if self._entered:
            raise ValueError("a cache can be entered once: make another by `client.cache`")
        self._entered = True
        try:
            await self._follower.begin()
        except BaseException as error:
            await finish(self._follower.close(), error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await finish(self._follower.close(), error)

    # State -----------------------------------------------------------------------------

    @property
    def key_prefix(self) -> bytes:
        """The prefix of the keys."""
        return self._prefix

    @property
    def revision(self) -> int:
        """The revision of etcd's store that the content is from; 0 before the first list.

        It never falls, unless etcd is restored from a backup. Changes of other keys do not raise
        it, except by `catch_up`, or after ten minutes.
        """
        return self._content.revision

    @property
    def lists(self) -> int:
        """The number of times that all keys were read; 1 unless events were lost."""
        return self._content.lists

    @property
    def trouble(self) -> ClientError | None:
        """The last error, while the cache lost events and could not read all keys again yet.

        None while it follows etcd. A broken connection alone is no trouble: the watch is resumed.
        """
        return self._follower.trouble

    @property
    def undecodable(self) -> Mapping[bytes, Exception]:
        """The keys whose present value cannot be decoded, and what `decode` raised."""
        bad = self._content.undecodable
        return MappingProxyType({key: found.error for key, found in bad.items()})

    # Local reads -----------------------------------------------------------------------

    def get(self, key: bytes) -> CacheEntry[V] | None:
        """Return a key; None if it does not exist.

        Raises `ValueError` if the key does not begin with the prefix of the cache.
        """
        self._follower.check()
        entry = self._content.entry(key)
        if entry is None:
            self._check_inside("key", check_key("key", key), None)
        return entry

    def get_prefix(self, key_prefix: bytes) -> CacheEntries[V]:
        """Return all keys that begin with `key_prefix`, in order.

        Raises `ValueError` if it does not begin with the prefix of the cache.
        """
        start, end = check_prefix("key_prefix", key_prefix)
        self._follower.check()
        self._check_inside("key_prefix", start, end)
        return self._content.entries(start, None if end == b"\0" else end)

    def get_range(self, range_start: bytes, range_end: bytes | None) -> CacheEntries[V]:
        r"""Return the keys from `range_start` (included) to `range_end` (excluded), in order.

        A `range_end` of `b"\0"` means every key from `range_start` on; None or `b""` means
        `range_start` alone. Raises `ValueError` if the range is not inside of the prefix of the
        cache.
        """
        start, end = checked_range(range_start, range_end)
        self._follower.check()
        end = end or start + b"\0"
        self._check_inside("range_start and range_end", start, end)
        return self._content.entries(start, None if end == b"\0" else end)

    def items(self) -> CacheEntries[V]:
        """Return all keys, in order."""
        self._follower.check()
        return self._content.entries(b"", None)

    def __len__(self) -> int:
        self._follower.check()
        return len(self._content)

    def __bool__(self) -> bool:
        # An empty cache is a cache, so that `cache or ...` does not depend on its content.
        return True

    def __contains__(self, key: object) -> bool:
        self._follower.check()
        return key in self._content

    def _check_inside(self, name: str, start: bytes, end: bytes | None) -> None:
        inside = start >= self._start
        if self._end != b"\0":
            inside = inside and start < self._end
            if end is not None:
                inside = inside and end != b"\0" and end <= self._end
        if not inside:
            raise ValueError(
                f"{name} must be inside of the prefix {self._prefix!r} of the cache, not {start!r}"
            )

    # Waiting ---------------------------------------------------------------------------

    async def catch_up(
        self,
        *,
        at_least: int | None = None,
        linearizable: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Wait until the content is recent enough, and return its revision.

        Either `at_least` is the lowest revision, for example that of a put before:
        `put.header.revision`. Or `linearizable` is True: the content then includes every write that
        was acknowledged before the call, by any client. Reads after it, without an `await` between
        them, are from the returned revision.

        `timeout` is the number of seconds, None means the channel's timeout. After that
        `CacheTimeoutError` is raised. A linearizable call sends a small read, and a request for
        progress if the content may be older; all calls at one time share that request.
        """
        if check_flag("linearizable", linearizable) == (at_least is not None):
            raise ValueError("give at_least=, or linearizable=True, and not both")
        seconds = self._follower.channel.timeout if timeout is None else timeout
        deadline = Deadline.of("timeout", seconds)
        if at_least is not None:
            at_least = check_int("at_least", at_least)
        self._follower.check()
        if at_least is None:
            lists, before = self._content.lists, self._content.revision
            at_least = await self._catching_up.present_revision(deadline)
            if at_least < before:
                # The read was linearizable, so the history that the content is from is no more.
                await self._catching_up.until_listed(lists, deadline)
        await self._catching_up.until(at_least, deadline)
        self._follower.check()
        return self._content.revision

    async def wait_for(
        self, predicate: Callable[[Cache[V]], T | None], *, timeout: float | None = None
    ) -> T:
        """Wait until `predicate(cache)` is true, and return what it returned.

            entry = await cache.wait_for(lambda cache: cache.get(b"config/ready"))

        It is called now, and after each change of the content. The content at that time is what
        counts: a state that has passed by the next event may be seen or not. `timeout` is the
        number of seconds, None means without limit; after that `CacheTimeoutError` is raised. An
        exception of `predicate` is raised unchanged.
        """
        if not callable(predicate):
            raise TypeError(f"predicate must be callable, not {type(predicate).__name__}")
        deadline = Deadline.of("timeout", timeout)
        while True:
            self._follower.check()
            result = predicate(self)
            if result:
                return result
            if deadline.passed:
                raise timed_out(
                    self._follower, "the condition was not fulfilled within the timeout"
                )
            await self._follower.changed.wait(deadline.remaining())

    # Changes ---------------------------------------------------------------------------

    @overload
    def changes(
        self, *, initial: bool = False, on_overflow: Literal["wait"] = "wait", buffer: int = ...
    ) -> CacheReader[CacheChange[V]]: ...
    @overload
    def changes(
        self, *, initial: bool = False, on_overflow: Literal["gap"], buffer: int = ...
    ) -> CacheReader[CacheChange[V] | CacheGap[V]]: ...
    def changes(
        self,
        *,
        initial: bool = False,
        on_overflow: Literal["wait", "gap"] = "wait",
        buffer: int = _READER_BUFFER,
    ) -> CacheReader[Any]:
        """Iterate over the changes from now on, each once and in order.

            async for change in cache.changes():
                print(change.kind, change.key)

        They continue from the content at the time of the call. With `initial` that content comes
        first, as PUTs with `from_list`.

        A reader has up to `buffer` unread changes, and those of one response or list beyond it.
        When there are so many, `on_overflow` decides. With "wait" the cache takes no more
        events until the reader has read some: no change is left out, but one slow reader delays the
        content and all other readers, and a `catch_up` in the task that reads may time out. With
        "gap" the reader loses its unread changes, and reads a `CacheGap` instead, with all keys as
        they are then. Neither affects etcd.
        """
        check_choice("on_overflow", on_overflow, ("wait", "gap"))
        buffer = check_int("buffer", buffer, minimum=1)
        first: Sequence[CacheEntry[V]] = self.items() if check_flag("initial", initial) else ()
        self._follower.check()
        waits, since = on_overflow == "wait", self._content.proven
        queue = self._follower.queues.new(buffer, waits=waits, since=since)
        return CacheReader(self._follower, queue, iter(first))

    def __repr__(self) -> str:
        keys, revision = len(self._content), self._content.revision
        return f"Cache({self._prefix!r}, revision={revision}, keys={keys})"
