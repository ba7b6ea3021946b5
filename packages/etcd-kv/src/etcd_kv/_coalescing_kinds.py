"""The kinds of calls that are coalesced, and the operations of a transaction that they become."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeVar

from google.protobuf.message import Message

from etcd_channel import HeaderLike, Rpc
from etcd_kv._encoding import DELETE, GET, PUT, operation_of
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.results import Put, delete_of, get_of, gets_of, put_of
from etcd_kv.rpcs import DELETE_RANGE, RANGE, TXN
from etcd_kv.rpcs import PUT as PUT_RPC

__all__ = ["DELETIONS", "KINDS", "PUTS", "READS", "STALE_READS", "Kind"]

MessageT = TypeVar("MessageT", bound=Message)


class Kind(ABC):
    """One kind of call. The operations of one shared transaction are of one kind."""

    rpc: ClassVar[Rpc[Any, Any]]
    """The RPC of a single call."""

    transaction: ClassVar[Rpc[pb.TxnRequest, pb.TxnResponse]] = TXN
    """The RPC of a shared transaction."""

    writes: ClassVar[bool] = True

    _tag: ClassVar[bytes]
    """The field of a request in an operation."""

    _name: ClassVar[str]
    """The name of the kind in the fields `request_` and `response_` of an operation."""

    def __init__(self) -> None:
        self._request_in = attrgetter(f"request_{self._name}")
        self._response_in = attrgetter(f"response_{self._name}")

    @abstractmethod
    def takes(self, request: Any) -> bool:
        """Whether a request of `rpc` can be an operation of a shared transaction."""

    def operation_of(self, request: Any) -> tuple[bytes, bytes]:
        """Return the key of a request, and the operation that executes it."""
        return request.key, operation_of(self._tag, request.SerializeToString())

    def request_of(self, operation: bytes) -> Any:
        """Return the request of an operation."""
        return self._request_in(pb.TxnRequest.FromString(operation).success[0])

    def result_of(self, response: Any) -> Any:
        """Return the result of a call that was sent alone."""
        return self._result(response.header, response)

    def results(self, requests: Sequence[Any], response: pb.TxnResponse) -> Iterator[Any]:
        """Yield what each call returns: the response to its request, or its result for None."""
        singles = map(self._response_in, response.responses)
        return self._each(requests, _copied(response.header), singles)

    def _each(self, requests: Sequence[Any], header: Any, singles: Iterable[Any]) -> Iterator[Any]:
        for request, single in zip(requests, singles, strict=True):
            if request is None:
                yield self._result(header, single)
            else:
                single.header.CopyFrom(header)
                yield single

    @abstractmethod
    def _result(self, header: HeaderLike, response: Any) -> Any:
        """Return the result of a call, as `KVClient` does."""


class _Puts(Kind):
    rpc = PUT_RPC
    _tag = PUT
    _name = "put"

    def takes(self, request: Any) -> bool:
        return type(request) is pb.PutRequest

    def _result(self, header: HeaderLike, response: Any) -> Put:
        return put_of(header, response)

    def results(self, requests: Sequence[Any], response: pb.TxnResponse) -> Iterator[Any]:
        header, parts = _copied(response.header), response.responses
        # Without the previous key, all have the same response and the same result.
        common, common_result = pb.PutResponse(header=header), Put(header)
        for request, index in zip(requests, range(len(parts)), strict=True):
            if request is None:
                yield common_result
            elif request.prev_kv:
                single = parts[index].response_put
                single.header.CopyFrom(header)
                yield single
            else:
                yield common


class _Deletions(Kind):
    rpc = DELETE_RANGE
    _tag = DELETE
    _name = "delete_range"

    def takes(self, request: Any) -> bool:
        return type(request) is pb.DeleteRangeRequest and not request.range_end

    def _result(self, header: HeaderLike, response: Any) -> Any:
        return delete_of(header, response)


# The server must not see a deadline: older versions can panic when a transaction that only reads is
# cancelled, see `_coalescing_versions`. The client does not cancel it either.
_READ_TXN: Final = replace(TXN, unbounded=True)

# Bytes of a response that the result of a single get may keep in memory besides its own value.
_LARGE: Final = 16 * 1024


class _Reads(Kind):
    rpc = RANGE
    transaction = _READ_TXN
    writes = False
    _tag = GET
    _name = "range"

    def __init__(self, *, serializable: bool) -> None:
        super().__init__()
        self._serializable = serializable

    def takes(self, request: Any) -> bool:
        return (
            type(request) is pb.RangeRequest
            and not request.range_end
            and not request.revision
            and request.serializable is self._serializable
        )

    def _result(self, header: HeaderLike, response: Any) -> Any:
        return get_of(header, response)

    def results(self, requests: Sequence[Any], response: pb.TxnResponse) -> Iterator[Any]:
        header, parts = _copied(response.header), response.responses
        large = response.ByteSize() > _LARGE
        if not (large or any(requests)):
            return iter(gets_of(header, parts))
        singles = map(self._response_in, parts)
        return self._each(requests, header, map(_copied, singles) if large else singles)


def _copied(message: MessageT) -> MessageT:
    """Return a copy of a part of a response, which does not keep the whole in memory."""
    made = type(message)()
    made.CopyFrom(message)
    return made


PUTS: Final = _Puts()
DELETIONS: Final = _Deletions()
READS: Final = _Reads(serializable=False)
STALE_READS: Final = _Reads(serializable=True)
KINDS: Final = (PUTS, DELETIONS, READS, STALE_READS)
