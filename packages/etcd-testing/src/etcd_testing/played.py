"""A fake etcd whose responses a test defines, for those that no real etcd sends on demand.

import grpc

from etcd_testing.played import PlayedEtcd, messages

async def put(request, context):
    await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

async def get(request, context):
    pair = messages.KeyValue(key=request.key, value=b"of the test", mod_revision=7)
    return messages.RangeResponse(kvs=[pair], count=1)

async with PlayedEtcd({"KV.Put": put, "KV.Range": get}) as etcd:
    ...  # a client of etcd.endpoint

It uses gRPC without TLS and has no state. Needs `pip install "etcd-testing[played]"`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from ._running import Running

try:
    import grpc

    from ._etcd_api import EtcdRpc, message_classes, rpc_of, rpcs
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'etcd_testing.played needs grpcio and protobuf: pip install "etcd-testing[played]"',
        name=error.name,
    ) from error

__all__ = ["Answer", "Messages", "Method", "PlayedEtcd", "messages"]

Answer: TypeAlias = Callable[[Any, Any], Any]
"""A function that answers an RPC, see `PlayedEtcd`."""


class Method(Protocol):
    """An RPC of etcd with a client's own message classes, for example etcd_kv.rpcs.RANGE."""

    @property
    def path(self) -> str:
        """The path that gRPC sends, "/etcdserverpb.KV/Range"."""

    @property
    def request(self) -> type[Any]: ...

    @property
    def response(self) -> type[Any]: ...


class Messages:
    """etcd's messages by name: `messages.RangeResponse(count=1)`.

    They are protobuf classes with all fields of etcd, created at run time: `Any` to a type
    checker. Values of an enum can be given by name, `Event(type="DELETE")`. An unknown name
    raises AttributeError.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return message_classes()[name]
        except KeyError:
            raise AttributeError(f"etcd has no message {name!r}") from None

    def __repr__(self) -> str:
        return "<etcd's messages>"

    def __dir__(self) -> list[str]:
        return sorted(message_classes())


messages: Final = Messages()


class PlayedEtcd(Running):
    """A gRPC server in the test's own event loop, on a free port of 127.0.0.1.

    `answers` maps each RPC to the function that answers it. The key is the RPC's name,
    "KV.Range", whose requests and responses are those of `messages`; or a `Method`, for a client's
    own classes. The function gets the request (for Watch.Watch and Lease.LeaseKeepAlive an
    asynchronous iterator over the requests) and gRPC's context (`grpc.aio.ServicerContext`). It is
    a coroutine function that returns the response or, for a response stream, an asynchronous
    generator function. `await context.abort(code, message)` ends the RPC with an error, and
    `context.invocation_metadata()` has the token of the caller.

    An RPC without an answer fails with UNIMPLEMENTED, as on a server that is too old for it.
    Raises ValueError for a name or a path that is not etcd's.
    """

    def __init__(self, answers: Mapping[str | Method, Answer] | None = None) -> None:
        self.calls: Counter[str] = Counter()
        """The number of calls of each RPC that has an answer, by its name."""
        self._answers: dict[str, tuple[EtcdRpc, Answer]] = {}
        for key, answer in (answers or {}).items():
            rpc = _rpc(key)
            if not callable(answer):
                raise TypeError(
                    f"the answer of {rpc.name} should be a function of the request and the context,"
                    f" not {type(answer).__name__}"
                )
            self._answers[rpc.path] = rpc, answer
        self._port = 0
        self._server: grpc.aio.Server | None = None

    def __repr__(self) -> str:
        state = "running" if self._server is not None else "not running"
        return f"<PlayedEtcd 127.0.0.1:{self._port} {state}>"

    @property
    def port(self) -> int:
        """Its port; `stop` and `start` keep it. Raises RuntimeError before the first start."""
        if not self._port:
            raise RuntimeError("it has not been started: use `async with` or `await start()`")
        return self._port

    @property
    def endpoint(self) -> str:
        """Its address, "127.0.0.1:29841"."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, after `stop` on the same port as before."""
        if self._server is not None:
            raise RuntimeError("it is running already")
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Handlers(self._handler),))
        self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
        await server.start()
        self._server = server

    async def stop(self, grace: float | None = None) -> None:
        """End all calls and connections; calls in progress get `grace` seconds to end."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace)

    async def close(self) -> None:
        """Stop at once; idempotent."""
        await self.stop()

    def _handler(self, path: str) -> grpc.RpcMethodHandler[Any, Any] | None:
        if path not in self._answers:
            return None
        rpc, answer = self._answers[path]
        self.calls[rpc.name] += 1
        make: Callable[..., grpc.RpcMethodHandler[Any, Any]]
        if rpc.client_streams:
            make = grpc.stream_stream_rpc_method_handler
        elif rpc.server_streams:
            make = grpc.unary_stream_rpc_method_handler
        else:
            make = grpc.unary_unary_rpc_method_handler
        return make(
            answer,
            request_deserializer=rpc.request.FromString,
            response_serializer=rpc.response.SerializeToString,
        )


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, find: Callable[[str], grpc.RpcMethodHandler[Any, Any] | None]) -> None:
        self._find = find

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._find(handler_call_details.method)


def _rpc(key: str | Method) -> EtcdRpc:
    """Return the RPC that a key of `answers` names, with the message classes for it."""
    if isinstance(key, str):
        if key not in rpcs():
            raise ValueError(f"etcd has no RPC {key!r}; one is 'KV.Range'")
        return rpcs()[key]
    known = rpc_of(key.path)
    if known is None:
        raise ValueError(f"etcd has no RPC {key.path!r}; one is '/etcdserverpb.KV/Range'")
    return EtcdRpc(
        known.path, key.request, key.response, known.client_streams, known.server_streams
    )
