"""Where history begins, for errors that do not say it.

A server that refuses a read at a compacted revision does not tell which revisions are
left. Reads tell: the lowest one that is not refused is the compacted revision.
"""

from __future__ import annotations

import asyncio

from etcd_channel import Channel, ClientError, RevisionCompactedError
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.rpcs import RANGE

__all__ = ["with_compacted_revision"]


async def with_compacted_revision(
    channel: Channel,
    error: RevisionCompactedError,
    key: bytes,
    known: int,
    timeout: float | None,
) -> RevisionCompactedError:
    """Return the error again, saying the compacted revision, which is at least `known`.

    `key` is one that the caller may read. Some twenty reads of a number find the revision
    by halving, whatever the length of history. Where they fail, or take longer than the call
    might, `known` is what is said: it is true, if not all that could be said.
    """
    patience = channel.timeout if timeout is None else timeout
    try:
        revision = await asyncio.wait_for(_find(channel, key, known), patience)
    except (ClientError, asyncio.TimeoutError):
        revision = known
    return RevisionCompactedError(
        revision,
        error.message,
        code=error.code,
        method=error.method,
        endpoint=error.endpoint,
    )


async def _find(channel: Channel, key: bytes, known: int) -> int:
    async def readable(revision: int) -> bool:
        request = pb.RangeRequest(key=key, revision=revision, count_only=True)
        try:
            await channel.call(RANGE, request)
        except RevisionCompactedError:
            return False
        return True

    newest = await channel.call(RANGE, pb.RangeRequest(key=key, count_only=True))
    low, high = known, newest.header.revision
    while low < high:
        middle = (low + high) // 2
        if await readable(middle):
            high = middle
        else:
            low = middle + 1
    return low
