"""`CacheClient`, which makes caches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar, overload

from etcd_cache._decoding import Decoding, OnUndecodable
from etcd_cache.cache import Cache
from etcd_cache.changes import CacheChange
from etcd_channel import Service

__all__ = ["CacheClient"]

V = TypeVar("V")


class CacheClient(Service):
    """Makes caches of prefixes on a channel."""

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
        on_undecodable: OnUndecodable = "keep",
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Cache[V]: ...
    def cache(
        self,
        key_prefix: bytes,
        *,
        decode: Callable[[bytes], Any] | None = None,
        on_undecodable: OnUndecodable = "keep",
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> Cache[Any]:
        """Make a live copy of all keys that begin with `key_prefix`; enter it by `async with`.

        The empty prefix means every key. `decode` makes the `value` of an entry from the bytes in
        etcd, once for each put; it is called in the event loop. None leaves the bytes as they are.
        If it raises an exception, `on_undecodable` decides. With "keep" the last good value stays,
        and readers are told by an UNDECODABLE change; a key without one is not there. With "drop"
        the key is as if it were deleted. With "raise" the cache ends with `CacheDecodeError`. The
        keys that cannot be decoded are in `Cache.undecodable`.

        The keys are read by pages of about `page_bytes` bytes, None means 4 MiB. `timeout` is the
        number of seconds that one request may take, None means the channel's timeout.
        """
        decoding = None if decode is None else Decoding(decode, on_undecodable)
        return Cache(self._channel, key_prefix, decoding, page_bytes=page_bytes, timeout=timeout)

    def watch_from_list(
        self,
        key_prefix: bytes,
        *,
        page_bytes: int | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[CacheChange[bytes], None]:
        """Iterate for ever over the changes of a prefix, beginning with the keys that are there.

        Those come first, as PUTs with `from_list`. Neither a break of the connection nor a
        compaction ends it: if events are gone, all keys are read again, and the differences come as
        changes with `from_list`. So the changes, applied to nothing, give the present keys.

        It is a `Cache` of the prefix, so all keys are in memory; see `cache` for the arguments and
        for what ends it. After a `break` close it by `aclose`, or use `contextlib.aclosing`.
        """
        cache = self.cache(key_prefix, page_bytes=page_bytes, timeout=timeout)
        return _changes(cache)


async def _changes(cache: Cache[bytes]) -> AsyncGenerator[CacheChange[bytes], None]:
    async with cache:
        async for change in cache.changes(initial=True):
            yield change
