"""What the tests of caches share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from etcd_cache import Cache, CacheChange, CacheChangeKind, CacheClient
from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

__all__ = [
    "HANG",
    "Content",
    "Program",
    "connect",
    "content",
    "in_etcd",
    "kill",
    "replayed",
    "same_as_etcd",
    "until",
    "watchers",
    "within",
]

T = TypeVar("T")

HANG: Final = 60.0
"""Seconds after which a test counts as hung; no assertion depends on it."""


class Program:
    """Keys and caches on one channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.kv = KVClient(channel)
        self.caches = CacheClient(channel)

    def cache(self, prefix: bytes) -> Cache[bytes]:
        return self.caches.cache(prefix)


@contextlib.asynccontextmanager
async def connect(*endpoints: str, **options: Any) -> AsyncIterator[Program]:
    """A program with a channel of its own, not connected yet.

    Its calls do not fail if the machine stands still for seconds, unless `options` say otherwise.
    """
    patient = {"connect_timeout": 30, "keepalive_timeout": 30, "timeout": 60}
    channel = Channel(endpoints, **{**patient, **options})
    try:
        yield Program(channel)
    finally:
        await channel.close()


async def within(awaitable: Awaitable[T], seconds: float = HANG) -> T:
    """Await something that must not hang."""
    return await asyncio.wait_for(awaitable, seconds)


async def until(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, seconds: float = HANG
) -> T:
    """Poll until the answer fulfils a condition; for state that only a server has."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not holds(answer := await ask()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"still {answer!r} after {seconds} s")
        await asyncio.sleep(0.02)
    return answer


async def watchers(server: EtcdServer) -> int:
    """Return the number of watchers on a server."""
    return int((await server.metrics())["etcd_debugging_mvcc_watcher_total"])


async def kill(server: EtcdServer) -> None:
    """Kill a server after it has committed what was written, which a snapshot makes it do."""
    await server.etcdctl("snapshot", "save", str(server.directory / "snapshot"))
    await server.kill()


# Contents --------------------------------------------------------------------------------

Content = dict[bytes, tuple[Any, int]]
"""The value and the mod revision of each key."""


def content(cache: Cache[Any]) -> Content:
    """Return the content of a cache."""
    items = cache.items()
    keys = [entry.key for entry in items]
    assert keys == sorted(keys)
    return {entry.key: (entry.value, entry.mod_revision) for entry in items}


async def in_etcd(kv: KVClient, prefix: bytes) -> Content:
    """Return what etcd has below a prefix."""
    return {item.key: (item.value, item.mod_revision) for item in await kv.get_prefix(prefix)}


async def same_as_etcd(cache: Cache[bytes], kv: KVClient) -> Content:
    """Catch up, and check that the cache has what etcd has; nothing may write meanwhile."""
    await cache.catch_up(linearizable=True, timeout=HANG)
    assert content(cache) == await in_etcd(kv, cache.key_prefix)
    return content(cache)


def replayed(before: Content, changes: Iterable[CacheChange[Any]]) -> Content:
    """Apply changes to a content; check that their revisions do not fall."""
    now = dict(before)
    last = 0
    for change in changes:
        assert change.revision >= last
        last = change.revision
        if change.kind is CacheChangeKind.PUT:
            assert change.entry is not None
            assert change.entry.key == change.key
            now[change.key] = (change.entry.value, change.entry.mod_revision)
        elif change.kind is CacheChangeKind.DELETE:
            now.pop(change.key, None)
    return now
