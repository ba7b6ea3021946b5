"""What a channel must know of an RPC to carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from etcd_channel.errors import InternalError

__all__ = ["Rpc"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, eq=False)
class Rpc(Generic[RequestT, ResponseT]):
    """One RPC of etcd, typed from its request to its response.

    `repeatable` says that sending the request a second time, after an answer was
    lost, leaves the cluster as one sending would have: only such an RPC is repeated
    when it is not known whether it was applied. The list is that of etcd's own Go
    client (client/v3/retry.go).

    `endless` says that nobody can know beforehand how long it takes (defragment,
    snapshot, waiting for a lock): the channel's default timeout does not hold for it,
    only one given with the call.

    `since` is the etcd version that brought it, as "3.5"; a server that is older
    answers with an error that names this version.
    """

    path: str
    request: type[RequestT]
    response: type[ResponseT]
    repeatable: bool = False
    endless: bool = False
    since: str = "3.0"

    @property
    def name(self) -> str:
        """The service and the method as etcd's documents write them, "KV.Range"."""
        package_and_service, method = self.path.lstrip("/").split("/")
        return f"{package_and_service.rpartition('.')[2]}.{method}"

    def wrong_request(self, request: object) -> TypeError:
        """The error for what is not this RPC's request: gRPC would send an empty one for it."""
        wanted, got = self.request.__name__, type(request).__name__
        return TypeError(f"request must be {wanted} for {self.name}, not {got}")

    def unreadable_response(self, endpoint: str) -> InternalError:
        """The error for a response that is none of this RPC's: gRPC hands on None for it."""
        return InternalError("the response cannot be read", method=self.name, endpoint=endpoint)
