"""Reads and follows the leader of an election, without a candidacy."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from etcd_channel import ChannelLike, KeyValue, RevisionCompactedError
from etcd_channel.arguments import check_key
from etcd_kv import KVClient
from etcd_watch import EventKind, WatchClient

__all__ = ["election_prefix", "first_key", "observe_leaders"]


def election_prefix(name: object) -> bytes:
    """Return the prefix of the keys of an election."""
    return check_key("name", name) + b"/"


async def first_key(kv: KVClient, prefix: bytes) -> KeyValue | None:
    """Return the oldest key of a queue; None if the queue is empty."""
    found = await kv.get_prefix(prefix, sort_order="ascend", sort_target="create", limit=1)
    return found[0] if len(found) else None


async def observe_leaders(channel: ChannelLike, prefix: bytes) -> AsyncGenerator[KeyValue, None]:
    """Iterate over the leader's key; see `Election.observe`."""
    kv, watches = KVClient(channel), WatchClient(channel)
    while True:
        found = await kv.get_prefix(prefix, sort_order="ascend", sort_target="create", limit=1)
        revision = found.header.revision
        try:
            if len(found):
                leader = found[0]
            else:
                async with watches.watch_prefix(
                    prefix, start_revision=revision + 1, kind=EventKind.PUT
                ) as watch:
                    leader = (await watch.__anext__()).kv
                revision = leader.mod_revision
            yield leader
            async with watches.watch(leader.key, start_revision=revision + 1) as watch:
                async for event in watch:
                    if event.kind is EventKind.DELETE:
                        break
                    yield event.kv
        except RevisionCompactedError:
            continue  # the history was compacted while the stream was broken: read again
