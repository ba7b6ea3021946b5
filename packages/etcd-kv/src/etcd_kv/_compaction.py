"""Calls whose errors name the compacted revision, or the key that a transaction modifies twice.

etcd's own errors have neither. The compacted revision is found by reads: it is the lowest revision
at which a read is not refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from etcd_channel import ChannelLike, ClientError, RevisionCompactedError, Rpc
from etcd_channel.deadline import Deadline
from etcd_channel.errors import DuplicateKeyError
from etcd_kv._duplicates import duplicate_key
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.rpcs import COMPACT, RANGE, TXN

__all__ = ["call_compact", "call_range", "call_txn"]

RequestT = TypeVar("RequestT", pb.RangeRequest, pb.TxnRequest, pb.CompactionRequest)
ResponseT = TypeVar("ResponseT", pb.RangeResponse, pb.TxnResponse, pb.CompactionResponse)

# The key to read if the request names none; it need not exist.
_LOWEST_KEY = b"\0"


def call_range(
    channel: ChannelLike, request: pb.RangeRequest, timeout: float | None
) -> Coroutine[Any, Any, pb.RangeResponse]:
    """Call RANGE; a `RevisionCompactedError` has the compacted revision."""
    if not request.revision:
        # The newest revision is never compacted.
        return channel.call(RANGE, request, timeout=timeout)
    # A revision that cannot be read is lower than the compacted one.
    return _call(
        channel,
        RANGE,
        request,
        timeout,
        lambda: (request.key, request.revision + 1, request.serializable),
    )


def call_txn(
    channel: ChannelLike,
    request: pb.TxnRequest,
    timeout: float | None,
    *,
    rpc: Rpc[pb.TxnRequest, pb.TxnResponse] = TXN,
) -> Coroutine[Any, Any, pb.TxnResponse]:
    """Call TXN or `rpc`; errors have the compacted revision or the key that is modified twice."""
    return _call(channel, rpc, request, timeout, lambda: _txn_search_start(request))


def call_compact(
    channel: ChannelLike, request: pb.CompactionRequest, timeout: float | None
) -> Coroutine[Any, Any, pb.CompactionResponse]:
    """Call COMPACT; a `RevisionCompactedError` has the compacted revision."""
    return _call(channel, COMPACT, request, timeout, lambda: (_LOWEST_KEY, request.revision, False))


async def _call(
    channel: ChannelLike,
    rpc: Rpc[RequestT, ResponseT],
    request: RequestT,
    timeout: float | None,
    search_start: Callable[[], tuple[bytes, int, bool]],
) -> ResponseT:
    """Call an RPC; if its revision was compacted, search for the compacted revision.

    The search takes no longer than what is left of `timeout`. `search_start` returns a key that
    the caller is permitted to read, a lower bound of the compacted revision, and whether the
    search is serializable: a call that needs no quorum gets its error without one. If the search
    fails or times out, the error has the lower bound.
    """
    # A Deadline is made only when it is needed, because nearly every call succeeds.
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        return await channel.call(rpc, request, timeout=timeout)
    except DuplicateKeyError as error:
        assert isinstance(request, pb.TxnRequest)
        raise DuplicateKeyError(
            error.message,
            key=duplicate_key(request),
            code=error.code,
            method=error.method,
            endpoint=error.endpoint,
        ) from error.__cause__
    except RevisionCompactedError as error:
        deadline = Deadline(started + (channel.timeout if timeout is None else timeout), clock)
        key, lower_bound, serializable = search_start()
        exact = True
        try:
            revision = await _find_compacted(channel, key, lower_bound, serializable, deadline)
        except ClientError:
            revision, exact = lower_bound, False
        detailed = RevisionCompactedError(
            revision,
            error.message,
            code=error.code,
            method=error.method,
            endpoint=error.endpoint,
        )
        if not exact:
            detailed.hint = f"the compacted revision is {revision} or a later one"
        try:
            raise detailed from error.__cause__
        finally:
            # The error's traceback refers to this frame: break the reference cycle.
            del detailed


async def _find_compacted(
    channel: ChannelLike, key: bytes, lower_bound: int, serializable: bool, deadline: Deadline
) -> int:
    """Find the lowest revision that can be read.

    A binary search: a history of a million revisions takes twenty reads, which return no keys.
    """

    async def read(revision: int) -> int:
        """Read at a revision; return the newest revision of the store."""
        request = pb.RangeRequest(
            key=key, revision=revision, count_only=True, serializable=serializable
        )
        response = await channel.call(RANGE, request, timeout=deadline.timeout())
        return response.header.revision

    low, high = lower_bound, await read(0)
    while low < high:
        middle = (low + high) // 2
        try:
            await read(middle)
        except RevisionCompactedError:
            low = middle + 1
        else:
            high = middle
    return low


def _txn_search_start(request: pb.TxnRequest) -> tuple[bytes, int, bool]:
    # etcd's error does not say which of several reads was refused, so the lower bound is 1.
    at_revision = [read for read in _reads(request) if read.revision]
    if not at_revision:
        return _LOWEST_KEY, 1, False
    return at_revision[0].key, 1, _is_serializable(request)


def _is_serializable(request: pb.TxnRequest) -> bool:
    """Whether etcd executes the transaction without a quorum: it has serializable reads only."""
    operations = (*request.success, *request.failure)
    return all(
        operation.WhichOneof("request") == "request_range" and operation.request_range.serializable
        for operation in operations
    )


def _reads(request: pb.TxnRequest) -> Iterator[pb.RangeRequest]:
    for op in (*request.success, *request.failure):
        kind = op.WhichOneof("request")
        if kind == "request_range":
            yield op.request_range
        elif kind == "request_txn":
            yield from _reads(op.request_txn)
