"""A view of a channel that sends concurrent calls on single keys in shared transactions."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from google.protobuf.message import Message

from etcd_channel import ChannelLike, ChannelView, Rpc
from etcd_kv._coalescing_batches import Coalescer
from etcd_kv._coalescing_kinds import DELETIONS, KINDS, PUTS, READS, STALE_READS, Kind
from etcd_kv._coalescing_versions import SafeMembers
from etcd_kv._direct import DirectCalls
from etcd_kv._encoding import delete_operation, get_operation, put_operation
from etcd_kv.results import Delete, Get, Put

__all__ = ["CoalescingView", "coalescing_view"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class CoalescingView(ChannelView, DirectCalls):
    """Coalesces gets, puts and deletions of single keys; forwards everything else.

    Each kind of operation has its own coalescer, so that an error of a shared transaction applies
    to all its operations alike: a full database refuses puts but not deletions, and only reads
    may be repeated.
    """

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        members = SafeMembers(inner)
        made = {kind: Coalescer(inner, kind, members) for kind in KINDS}
        self._puts, self._deletions = made[PUTS], made[DELETIONS]
        self._reads, self._stale_reads = made[READS], made[STALE_READS]
        self._coalescers: dict[Rpc[Any, Any], list[tuple[Kind, Coalescer]]] = {}
        for kind, coalescer in made.items():
            self._coalescers.setdefault(kind.rpc, []).append((kind, coalescer))

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        """Like `Channel.call`, but the call may be sent in one transaction with others."""
        if endpoint is None:
            for kind, coalescer in self._coalescers.get(rpc, ()):
                if kind.takes(request):
                    key, operation = kind.operation_of(request)
                    return coalescer.call(key, operation, timeout, request)
        return super().call(rpc, request, timeout=timeout, endpoint=endpoint)

    def get(
        self, key: bytes, serializable: bool, timeout: float | None
    ) -> Coroutine[Any, Any, Get | None]:
        """As `KVClient.get`."""
        reads = self._stale_reads if serializable else self._reads
        return reads.call(key, get_operation(key, serializable), timeout)

    def put(self, key: bytes, value: bytes, timeout: float | None) -> Coroutine[Any, Any, Put]:
        """As `KVClient.put`."""
        return self._puts.call(key, put_operation(key, value), timeout)

    def delete(self, key: bytes, timeout: float | None) -> Coroutine[Any, Any, Delete | None]:
        """As `KVClient.delete`."""
        return self._deletions.call(key, delete_operation(key), timeout)


def coalescing_view(channel: ChannelLike) -> ChannelLike:
    """Return the coalescing view of a channel, which all clients on the channel share."""
    return channel if isinstance(channel, CoalescingView) else channel.shared(CoalescingView)
