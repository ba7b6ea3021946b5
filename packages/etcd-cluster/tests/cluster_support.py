"""What the tests of members and maintenance share: a server that plays what no real one can be
made to send, keys to fill a database, and etcd's own tool for snapshots."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import grpc

from etcd_channel import Rpc
from etcd_testing import BinaryNotFoundError, EtcdServer, find_binary

__all__ = ["HANG", "Played", "fill", "snapshot_tool"]

HANG: Final = 60.0
"""Seconds after which a test has hung; nothing is measured by it."""

Play = Callable[[Any, Any], Any]


class Played:
    """A gRPC server in the test's own loop that knows the RPCs it is given, and no other.

    Each is played by a coroutine function of the request and the context or, for one of many
    responses, by an async generator function of them.
    """

    def __init__(self, play: dict[Rpc[Any, Any], Play] | None = None) -> None:
        self._play = {rpc.path: (rpc, function) for rpc, function in (play or {}).items()}
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((_Handlers(self._handler),))
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> Played:
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.stop(None)

    def _handler(self, path: str) -> grpc.RpcMethodHandler[Any, Any] | None:
        if path not in self._play:
            return None
        rpc, function = self._play[path]
        many = rpc.name == "Maintenance.Snapshot"
        make = grpc.unary_stream_rpc_method_handler if many else grpc.unary_unary_rpc_method_handler
        return make(
            function,
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


async def fill(server: EtcdServer, megabytes: int = 6, *, key: str = "big") -> None:
    """Put some large values, so that a snapshot is more than any buffer on its way."""
    for number in range(megabytes):
        await server.etcdctl("put", f"{key}/{number}", stdin="x" * (1 << 20))


async def snapshot_tool(*arguments: str | os.PathLike[str]) -> str:
    """Run etcd's own `snapshot …`: etcdutl's, or where there is none (3.4) etcdctl's."""
    try:
        program = find_binary("etcdutl")
    except BinaryNotFoundError:
        program = find_binary("etcdctl")
    process = await asyncio.create_subprocess_exec(
        program,
        "snapshot",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()
