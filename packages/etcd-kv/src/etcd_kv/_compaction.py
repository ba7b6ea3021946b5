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

# A call that comes too late has to have a timeout too, and fails by it; in seconds.
_SHORTEST = 1e-3


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
    deadline = asyncio.get_running_loop().time() + patience
    try:
        revision = await _find(channel, key, known, deadline)
    except ClientError:
        revision = known
    return RevisionCompactedError(
        revision,
        error.message,
        code=error.code,
        method=error.method,
        endpoint=error.endpoint,
    )


async def _find(channel: Channel, key: bytes, known: int, deadline: float) -> int:
    """Find the lowest revision that can be read; `deadline` is in the loop's time."""
    loop = asyncio.get_running_loop()

    async def count(revision: int) -> int:
        """Read how many keys there are, and return the revision of the store."""
        left = max(deadline - loop.time(), _SHORTEST)
        request = pb.RangeRequest(key=key, revision=revision, count_only=True)
        return (await channel.call(RANGE, request, timeout=left)).header.revision

    low, high = known, await count(0)
    while low < high:
        middle = (low + high) // 2
        try:
            await count(middle)
        except RevisionCompactedError:
            low = middle + 1
        else:
            high = middle
    return low
