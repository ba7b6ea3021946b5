"""`Rpc`, the description of an RPC that a channel calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from etcd_channel.errors import InternalError
from etcd_channel.keys import Keys

__all__ = ["Rpc"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

# The default codec: `Rpc.__post_init__` replaces it by that of the message class.
_MESSAGE_CODEC: Any = None


@dataclass(frozen=True, eq=False)
class Rpc(Generic[RequestT, ResponseT]):
    """An RPC of etcd, with the types of its request and its response.

    `path` is its gRPC path, "/etcdserverpb.KV/Put"; `request` and `response` are the message
    classes.

    `repeatable` means that sending the request again after its response was lost has the same
    effect on the cluster as sending it once. Only a repeatable RPC is retried if it may have been
    applied. The choice is that of etcd's Go client (client/v3/retry.go).

    `unbounded` means that the call may take any time (defragment, snapshot, waiting for a lock):
    the channel's default timeout does not apply, only a timeout that is given with the call.

    `duplex` means that the RPC is a bidirectional stream. `Channel.call` then opens the stream,
    writes one request, reads one response, and only then ends the stream. A unary call would
    half-close the stream with the request, after which etcd's grpc-proxy cancels its own request
    to the server.

    `since` is the etcd version that introduced the RPC, such as "3.5"; the error for an older
    server names it.

    `keys` says where its messages have keys; it is `NO_KEYS` if they have none. None means that
    the RPC is not part of a namespace, such as those of members and users.

    `encode` returns a request as bytes, `decode` the response from bytes; the defaults are
    `SerializeToString` and `FromString` of the message classes. `encode` is called at each
    attempt and must not change the request. `decode` raises `DecodeError` for bytes that are not
    a response. Any other exception of these functions ends the call or the stream. See `edited`.
    """

    path: str
    request: type[RequestT]
    response: type[ResponseT]
    repeatable: bool = False
    unbounded: bool = False
    duplex: bool = False
    since: str = "3.0"
    keys: Keys | None = field(default=None, repr=False)
    encode: Callable[[RequestT], bytes] = field(default=_MESSAGE_CODEC, repr=False)
    decode: Callable[[bytes], ResponseT] = field(default=_MESSAGE_CODEC, repr=False)

    def __post_init__(self) -> None:
        if self.encode is _MESSAGE_CODEC:
            object.__setattr__(self, "encode", self.request.SerializeToString)
        if self.decode is _MESSAGE_CODEC:
            object.__setattr__(self, "decode", self.response.FromString)

    @property
    def name(self) -> str:
        """The service and the method, such as "KV.Range"."""
        package_and_service, operation = self.method.split("/")
        return f"{package_and_service.rpartition('.')[2]}.{operation}"

    @property
    def method(self) -> str:
        """The service with its package, and the method, such as "etcdserverpb.KV/Range"."""
        return self.path.lstrip("/")

    @property
    def operation(self) -> str:
        """The method alone, such as "Range"; telemetry names the operation by it."""
        return self.path.rpartition("/")[2]

    def edited(
        self,
        *,
        request: Callable[[RequestT], object] | None = None,
        response: Callable[[ResponseT], object] | None = None,
    ) -> Rpc[RequestT, ResponseT]:
        """Return a copy of this RPC whose messages are changed by functions.

        `request` is called at each attempt with a copy of the request before it is sent,
        `response` with each response that is received; both change the message in place, and
        None changes nothing. Edits can be stacked: the last one is nearest to the server and gets
        requests last and responses first.
        """
        encode, decode = self.encode, self.decode
        if request is not None:
            encode = _editing_encoder(self.request, encode, request)
        if response is not None:
            decode = _editing_decoder(self.response, decode, response)
        return replace(self, encode=encode, decode=decode)

    def wrong_request(self, request: object) -> TypeError:
        """Return the error for a request of another class, which gRPC would send as empty."""
        wanted, got = self.request.__name__, type(request).__name__
        return TypeError(f"request must be {wanted} for {self.name}, not {got}")

    def unreadable_response(self, endpoint: str) -> InternalError:
        """Return the error for a response that cannot be parsed."""
        return InternalError("the response cannot be read", method=self.name, endpoint=endpoint)


def _editing_encoder(
    kind: type[RequestT], encode: Callable[[RequestT], bytes], edit: Callable[[RequestT], object]
) -> Callable[[RequestT], bytes]:
    def encode_edited(request: RequestT) -> bytes:
        # A copy that has the earlier edits.
        copy = kind.FromString(encode(request))
        edit(copy)
        return copy.SerializeToString()

    return encode_edited


def _editing_decoder(
    kind: type[ResponseT], decode: Callable[[bytes], ResponseT], edit: Callable[[ResponseT], object]
) -> Callable[[bytes], ResponseT]:
    is_first_edit = decode == kind.FromString

    def decode_edited(data: bytes) -> ResponseT:
        response = kind.FromString(data)
        edit(response)
        return response if is_first_edit else decode(response.SerializeToString())

    return decode_edited
