"""`CacheReader`, `Cache` and `CacheClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, overload

import etcd_client
from etcd_channel.deadline import Deadline
from etcd_client import CacheChange, CacheEntries, CacheEntry, CacheGap, ClientError
from etcd_sync._handle import Handle, Service, is_newer
from etcd_sync._iteration import Iteration

__all__ = ["Cache", "CacheClient", "CacheReader"]

T = TypeVar("T")
V = TypeVar("V")


class CacheReader(Handle, Iterator[T], Generic[T]):
    """An iterator over the changes of a cache, since it was made by `Cache.changes`.

    It ends when the cache is closed, and raises the error that ended the cache otherwise; changes
    that were not read then are read first. `close` ends it alone, and so does dropping its last
    reference, as `break` does in `for change in cache.changes()`.

    Interrupting a thread that waits for a change loses no change. Several threads may read one
    reader: each change goes to one of them.
    """

    _inner: etcd_client.CacheReader[T]

    def __next__(self) -> T:
        try:
            return self._portal.run(self._inner.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """End the iteration; idempotent."""
        self._portal.call(self._inner.close)

    def __iter__(self) -> Iterator[T]:
        return self


class Cache(Handle, Generic[V]):
    """A copy of all keys that begin with a prefix, which follows etcd; made by `CacheClient`.

        with client.cache(b"config/") as config:
            entry = config.get(b"config/limit")

    Entering reads all keys by pages at one revision, and watches them from there. Reads do not wait
    and send nothing. What they return is the state of etcd at `revision`: all keys of one revision,
    and never an earlier one than before. It may be out of date, by the time that an event takes, or
    by as long as the connection is broken; `catch_up` waits until it is not.

    The cache survives breaks of the connection, and compaction: if events are gone, it reads all
    keys again, and the differences are changes with `from_list`. It ends by an error only if it is
    not permitted to read the keys, if the client is closed, or if `on_undecodable` says so. All
    methods raise that error then, and `CacheClosedError` outside of the `with`.

    A cache can be entered once.
    """

    _inner: etcd_client.Cache[V]

    def __enter__(self) -> Cache[V]:
        _ = self._portal.enter(self._inner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)

    @property
    def key_prefix(self) -> bytes:
        """The prefix of the keys."""
        return self._inner.key_prefix

    @property
    def revision(self) -> int:
        """The revision of etcd's store that the content is from; 0 before the first list.

        It never falls, unless etcd is restored from a backup. Changes of other keys do not raise
        it, except by `catch_up`, or after ten minutes.
        """
        return self._inner.revision

    @property
    def lists(self) -> int:
        """The number of times that all keys were read; 1 unless events were lost."""
        return self._inner.lists

    @property
    def trouble(self) -> ClientError | None:
        """The last error, while the cache lost events and could not read all keys again yet.

        None while it follows etcd. A broken connection alone is no trouble: the watch is resumed.
        """
        return self._inner.trouble

    @property
    def undecodable(self) -> Mapping[bytes, Exception]:
        """The keys whose present value cannot be decoded, and what `decode` raised."""
        return self._inner.undecodable

    def get(self, key: bytes) -> CacheEntry[V] | None:
        """Return a key; None if it does not exist.

        Raises `ValueError` if the key does not begin with the prefix of the cache.
        """
        return self._portal.call(self._inner.get, key)

    def get_prefix(self, key_prefix: bytes) -> CacheEntries[V]:
        """Return all keys that begin with `key_prefix`, in order.

        Raises `ValueError` if it does not begin with the prefix of the cache.
        """
        return self._portal.call(self._inner.get_prefix, key_prefix)

    def get_range(self, range_start: bytes, range_end: bytes | None) -> CacheEntries[V]:
        r"""Return the keys from `range_start` (included) to `range_end` (excluded), in order.

        A `range_end` of `b"\0"` means every key from `range_start` on; None or `b""` means
        `range_start` alone. Raises `ValueError` if the range is not inside of the prefix of the
        cache.
        """
        return self._portal.call(self._inner.get_range, range_start, range_end)

    def items(self) -> CacheEntries[V]:
        """Return all keys, in order."""
        return self._portal.call(self._inner.items)

    def __len__(self) -> int:
        return self._portal.call(self._inner.__len__)

    def __contains__(self, key: object) -> bool:
        return self._portal.call(self._inner.__contains__, key)

    def catch_up(
        self,
        *,
        at_least: int | None = None,
        linearizable: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Wait until the content is recent enough, and return its revision.

        Either `at_least` is the lowest revision, for example that of a put before:
        `put.header.revision`. Or `linearizable` is True: the content then includes every write that
        was acknowledged before the call, by any client. Reads after it are from the returned
        revision or a later one.

        `timeout` is the number of seconds, None means the client's timeout. After that
        `CacheTimeoutError` is raised. A linearizable call sends a small read, and a request for
        progress if the content may be older; all calls at one time share that request.
        """
        return self._portal.run(
            self._inner.catch_up, at_least=at_least, linearizable=linearizable, timeout=timeout
        )

    def wait_for(
        self, predicate: Callable[[Cache[V]], T | None], *, timeout: float | None = None
    ) -> T:
        """Wait until `predicate(cache)` is true, and return what it returned.

            entry = cache.wait_for(lambda cache: cache.get(b"config/ready"))

        It is called now, and after each change of the content, in the calling thread. The content
        at that time is what counts: a state that has passed by the next event may be seen or not.
        `timeout` is the number of seconds, None means without limit; after that `CacheTimeoutError`
        is raised. An exception of `predicate` is raised unchanged.
        """
        if not callable(predicate):
            raise TypeError(f"predicate must be callable, not {type(predicate).__name__}")
        deadline = Deadline.of("timeout", timeout, monotonic)
        while True:
            seen = self.revision
            result = predicate(self)
            if result:
                return result
            self._portal.run(
                self._inner.wait_for, partial(is_newer, seen), timeout=deadline.timeout()
            )

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
        buffer: int = 1000,
    ) -> CacheReader[Any]:
        """Iterate over the changes from now on, each once and in order.

            for change in cache.changes():
                print(change.kind, change.key)

        They continue from the content at the time of the call. With `initial` that content comes
        first, as PUTs with `from_list`.

        A reader has up to `buffer` unread changes, and those of one response or list beyond it.
        When there are so many, `on_overflow` decides. With "wait" the cache takes no more events
        until the reader has read some: no change is left out, but one slow reader delays the
        content and all other readers, and a `catch_up` in the thread that reads may time out. With
        "gap" the reader loses its unread changes, and reads a `CacheGap` instead, with all keys as
        they are then. Neither affects etcd.
        """
        changes: Any = self._inner.changes
        inner = self._portal.call(changes, initial=initial, on_overflow=on_overflow, buffer=buffer)
        return CacheReader._of(self._portal, inner)


class CacheClient(Service):
    """Makes caches of prefixes."""

    _inner: etcd_client.KeyspaceClient

    @overload
    def cache(
        self,
        key_prefix: bytes,
        *,
        decode: None = None,
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Cache[bytes]: ...

    @overload
    def cache(
        self,
        key_prefix: bytes,
        *,
        decode: Callable[[bytes], V],
        on_undecodable: Literal["keep", "drop", "raise"] = "keep",
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Cache[V]: ...

    def cache(
        self,
        key_prefix: bytes,
        *,
        decode: Callable[[bytes], Any] | None = None,
        on_undecodable: Literal["keep", "drop", "raise"] = "keep",
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Cache[Any]:
        """Make a live copy of all keys that begin with `key_prefix`; enter it by `with`.

        The empty prefix means every key. `decode` makes the `value` of an entry from the bytes in
        etcd, once for each put; it is called in the client's own thread, where it must not block
        and cannot call the client. None leaves the bytes as they are. If it raises an exception,
        `on_undecodable` decides. With "keep" the last good value stays, and readers are told by an
        UNDECODABLE change; a key without one is not there. With "drop" the key is as if it were
        deleted. With "raise" the cache ends with `CacheDecodeError`. The keys that cannot be
        decoded are in `Cache.undecodable`.

        The keys are read by pages of about `page_bytes` bytes, None means 4 MiB. `timeout` is the
        number of seconds that one request may take, None means the client's timeout.
        """
        cache: Any = self._inner.cache
        inner = self._portal.call(
            cache,
            key_prefix,
            decode=decode,
            on_undecodable=on_undecodable,
            page_bytes=page_bytes,
            timeout=timeout,
        )
        return Cache._of(self._portal, inner)

    def watch_from_list(
        self, key_prefix: bytes, *, page_bytes: int | None = None, timeout: float | None = None
    ) -> Iteration[CacheChange[bytes]]:
        """Iterate for ever over the changes of a prefix, beginning with the keys that are there.

        Those come first, as PUTs with `from_list`. Neither a break of the connection nor a
        compaction ends it: if events are gone, all keys are read again, and the differences come as
        changes with `from_list`. So the changes, applied to nothing, give the present keys.

        It is a `Cache` of the prefix, so all keys are in memory; see `cache` for the arguments and
        for what ends it. After a `break` close it by `close`, or iterate over it inside a `with`.
        """
        return self._portal.iterate(
            self._portal.call(
                self._inner.watch_from_list, key_prefix, page_bytes=page_bytes, timeout=timeout
            )
        )
