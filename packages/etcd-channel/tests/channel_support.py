"""What the tests of the channel share: a few RPCs of etcd, a server that plays what no real one
can be made to send, and programs in a process of their own.

The packages that speak to etcd's services stand above this one, so these tests bring the few
messages that they need: parts of etcd's, in a descriptor pool of their own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from etcd_channel import Rpc

__all__ = [
    "HANG",
    "LEASE_GRANT",
    "PUT",
    "RANGE",
    "SNAPSHOT",
    "STATUS",
    "WATCH",
    "Played",
    "messages",
    "run_program",
]

HANG: Final = 60.0
"""Seconds after which a test has hung; nothing is measured by it."""

# Messages and RPCs ---------------------------------------------------------------------

_MESSAGES = """
ResponseHeader: cluster_id=1 uint64, member_id=2 uint64, revision=3 int64, raft_term=4 uint64
KeyValue: key=1 bytes, create_revision=2 int64, mod_revision=3 int64, version=4 int64, value=5 bytes
RangeRequest: key=1 bytes, range_end=2 bytes, limit=3 int64
RangeResponse: header=1 ResponseHeader, kvs=2 *KeyValue, count=4 int64
PutRequest: key=1 bytes, value=2 bytes, lease=3 int64
PutResponse: header=1 ResponseHeader
LeaseGrantRequest: TTL=1 int64, ID=2 int64
LeaseGrantResponse: header=1 ResponseHeader, ID=2 int64, TTL=3 int64, error=4 string
StatusRequest:
StatusResponse: header=1 ResponseHeader, version=2 string
SnapshotRequest:
SnapshotResponse: header=1 ResponseHeader, remaining_bytes=2 uint64, blob=3 bytes
WatchCreateRequest: key=1 bytes, range_end=2 bytes, start_revision=3 int64
WatchRequest: create_request=1 WatchCreateRequest
Event: type=1 int32, kv=2 KeyValue
WatchResponse: header=1 ResponseHeader, watch_id=2 int64, created=3 bool, canceled=4 bool,\
 cancel_reason=6 string, events=11 *Event
"""


class _Messages:
    """The messages above, as classes; `Any`, because nothing is generated of them."""

    def __init__(self) -> None:
        package = "etcd_channel.tests"
        file = descriptor_pb2.FileDescriptorProto(name="tests.proto", package=package)
        file.syntax = "proto3"
        kinds = descriptor_pb2.FieldDescriptorProto
        for line in _MESSAGES.strip().splitlines():
            name, _, fields = line.partition(":")
            message = file.message_type.add(name=name)
            for field in filter(None, fields.strip().split(", ")):
                spelled, kind = field.split()
                field_name, _, number = spelled.partition("=")
                made = message.field.add(name=field_name, number=int(number))
                repeated, kind = kind.startswith("*"), kind.removeprefix("*")
                made.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
                if kind[0].isupper():
                    made.type = kinds.TYPE_MESSAGE
                    made.type_name = f".{package}.{kind}"
                else:
                    made.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._classes = {
            message.name: message_factory.GetMessageClass(
                pool.FindMessageTypeByName(f"{package}.{message.name}")
            )
            for message in file.message_type
        }

    def __getattr__(self, name: str) -> Any:
        return self._classes[name]


messages: Final = _Messages()

RANGE: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.KV/Range", messages.RangeRequest, messages.RangeResponse, repeatable=True
)
PUT: Rpc[Any, Any] = Rpc("/etcdserverpb.KV/Put", messages.PutRequest, messages.PutResponse)
LEASE_GRANT: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Lease/LeaseGrant",
    messages.LeaseGrantRequest,
    messages.LeaseGrantResponse,
    repeatable=True,
)
STATUS: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Maintenance/Status",
    messages.StatusRequest,
    messages.StatusResponse,
    repeatable=True,
)
SNAPSHOT: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Maintenance/Snapshot",
    messages.SnapshotRequest,
    messages.SnapshotResponse,
    repeatable=True,
    endless=True,
)
WATCH: Rpc[Any, Any] = Rpc(
    "/etcdserverpb.Watch/Watch", messages.WatchRequest, messages.WatchResponse
)

# A server that plays its part ------------------------------------------------------------

Unary = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]
Streamed = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]


class Played:
    """A gRPC server in the test's own loop, on a free port of localhost.

    `unary` and `streaming` say for an RPC what answers it: a coroutine function of the request
    and the context, or an async generator function of the request (for WATCH of the iterator
    over the requests) and the context. Whatever else is called is not implemented, as the
    health service of an old server is.
    """

    def __init__(
        self,
        unary: Mapping[Rpc[Any, Any], Unary] | None = None,
        streaming: Mapping[Rpc[Any, Any], Streamed] | None = None,
    ) -> None:
        self.calls: dict[str, int] = {}
        """How often each RPC was called, by its name."""
        self._unary = {rpc.path: (rpc, play) for rpc, play in (unary or {}).items()}
        self._streaming = {rpc.path: (rpc, play) for rpc, play in (streaming or {}).items()}
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((_Handlers(self._handler),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Played:
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        await self._server.stop(None)

    def _handler(self, path: str) -> grpc.RpcMethodHandler[Any, Any] | None:
        if path in self._unary:
            rpc, play = self._unary[path]
            make = grpc.unary_unary_rpc_method_handler
        elif path in self._streaming:
            rpc, play = self._streaming[path]
            is_watch = rpc is WATCH
            make = (
                grpc.stream_stream_rpc_method_handler
                if is_watch
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            return None
        self.calls[rpc.name] = self.calls.get(rpc.name, 0) + 1
        return make(
            play,
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


# Programs --------------------------------------------------------------------------------


async def run_program(
    source: str,
    *arguments: str,
    options: tuple[str, ...] = ("-X", "dev", "-W", "error"),
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end, by default as strict as Python can be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *options,
        "-c",
        source,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return subprocess.CompletedProcess(
        list(arguments), process.returncode, stdout.decode(), stderr.decode()
    )
