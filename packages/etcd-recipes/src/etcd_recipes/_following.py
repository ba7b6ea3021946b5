"""Follows the keys under a prefix."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from etcd_channel import ChannelLike, KeyValue, RevisionCompactedError
from etcd_kv import KVClient
from etcd_watch import EventKind, WatchClient

__all__ = ["Keys", "follow"]


class Keys(dict[bytes, KeyValue]):
    """The keys under a prefix as they are at a revision."""

    revision = 0


async def follow(channel: ChannelLike, prefix: bytes) -> AsyncGenerator[Keys, None]:
    """Yield the keys under `prefix`: as they are now, then after each change.

    It yields the same object each time, and only whole revisions. After a break of the connection
    that outlasted a compaction it reads the keys again.
    """
    kv, watches = KVClient(channel), WatchClient(channel)
    keys = Keys()
    while True:
        found = await kv.get_prefix(prefix)
        keys.clear()
        keys.update((read.key, read) for read in found)
        keys.revision = found.header.revision
        yield keys
        try:
            async with watches.watch_prefix(prefix, start_revision=keys.revision + 1) as watch:
                async for response in watch.responses():
                    for event in response.events:
                        if event.kind is EventKind.PUT:
                            keys[event.kv.key] = event.kv
                        else:
                            keys.pop(event.kv.key, None)
                        keys.revision = event.kv.mod_revision
                    yield keys
        except RevisionCompactedError:
            continue
