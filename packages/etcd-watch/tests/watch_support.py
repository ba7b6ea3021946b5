"""What the tests of watches share: someone who writes keys, and readers with a limit of patience.

The package that puts keys is a sibling, which these tests must do without: so they bring the few
messages that they need, parts of etcd's, in a descriptor pool of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from etcd_channel import Channel, Rpc
from etcd_testing import EtcdServer
from etcd_watch import Event, Watch, WatchClient, WatchResponse

__all__ = [
    "HANG",
    "PUT",
    "Writer",
    "connect",
    "kill",
    "messages",
    "read",
    "read_responses",
    "streams",
    "until",
    "values",
    "watchers",
    "within",
]

T = TypeVar("T")

HANG: Final = 60.0
"""Seconds after which a test has hung; nothing is measured by it."""

_MESSAGES = """
ResponseHeader: revision=3 int64
PutRequest: key=1 bytes, value=2 bytes
PutResponse: header=1 ResponseHeader
DeleteRangeRequest: key=1 bytes, range_end=2 bytes
DeleteRangeResponse: header=1 ResponseHeader
RequestOp: request_put=2 PutRequest, request_delete_range=3 DeleteRangeRequest
TxnRequest: success=2 *RequestOp
TxnResponse: header=1 ResponseHeader
CompactionRequest: revision=1 int64, physical=2 bool
CompactionResponse: header=1 ResponseHeader
"""


class _Messages:
    """The messages above, as classes; `Any`, because nothing is generated of them."""

    def __init__(self) -> None:
        package = "etcd_watch.tests"
        file = descriptor_pb2.FileDescriptorProto(name="tests.proto", package=package)
        file.syntax = "proto3"
        kinds = descriptor_pb2.FieldDescriptorProto
        for line in _MESSAGES.strip().splitlines():
            name, _, fields = line.partition(":")
            message = file.message_type.add(name=name)
            for field in fields.strip().split(", "):
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


def _rpc(method: str) -> Rpc[Any, Any]:
    name = "Compaction" if method == "Compact" else method
    return Rpc(
        f"/etcdserverpb.KV/{method}",
        getattr(messages, f"{name}Request"),
        getattr(messages, f"{name}Response"),
    )


PUT: Final = _rpc("Put")
_DELETE: Final = _rpc("DeleteRange")
_TXN: Final = _rpc("Txn")
_COMPACT: Final = _rpc("Compact")


class Writer:
    """Writes keys on a channel; each method returns the revision of what it did."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def put(self, key: bytes, value: bytes = b"") -> int:
        return await self._call(PUT, messages.PutRequest(key=key, value=value))

    async def put_together(self, *pairs: tuple[bytes, bytes]) -> int:
        """Put several keys at one revision."""
        puts = [messages.PutRequest(key=key, value=value) for key, value in pairs]
        ops = [messages.RequestOp(request_put=put) for put in puts]
        return await self._call(_TXN, messages.TxnRequest(success=ops))

    async def delete(self, key: bytes, range_end: bytes = b"") -> int:
        request = messages.DeleteRangeRequest(key=key, range_end=range_end)
        return await self._call(_DELETE, request)

    async def compact(self, revision: int) -> int:
        request = messages.CompactionRequest(revision=revision, physical=True)
        return await self._call(_COMPACT, request)

    async def _call(self, rpc: Rpc[Any, Any], request: Any) -> int:
        response = await self._channel.call(rpc, request)
        revision: int = response.header.revision
        return revision


@contextlib.asynccontextmanager
async def connect(
    *endpoints: str, **options: Any
) -> AsyncIterator[tuple[WatchClient, Writer, Channel]]:
    """A client for watches, and a writer, on a channel of their own, not connected yet."""
    channel = Channel(endpoints, **options)
    try:
        yield WatchClient(channel), Writer(channel), channel
    finally:
        await channel.close()


# Reading ---------------------------------------------------------------------------------


async def within(awaitable: Awaitable[T], seconds: float = HANG) -> T:
    """Await something that must not hang.

    A timeout is an error of the test; so what `asyncio.wait_for` gets wrong does not matter.
    """
    return await asyncio.wait_for(awaitable, seconds)


async def read(watch: Watch, count: int) -> list[Event]:
    """Read so many events, which come sooner or later."""
    return [await within(watch.__anext__()) for _ in range(count)]


async def read_responses(watch: Watch, count: int) -> list[WatchResponse]:
    """Read so many responses."""
    responses = watch.responses()
    return [await within(responses.__anext__()) for _ in range(count)]


def values(events: Sequence[Event]) -> list[bytes]:
    """What was put, in order."""
    return [event.kv.value for event in events]


# What the server knows -------------------------------------------------------------------


async def watchers(server: EtcdServer) -> int:
    """How many watchers a server has."""
    return int((await server.metrics())["etcd_debugging_mvcc_watcher_total"])


async def streams(server: EtcdServer) -> int:
    """How many streams of watches a server has open."""
    return int((await server.metrics())["etcd_debugging_mvcc_watch_stream_total"])


async def kill(server: EtcdServer) -> None:
    """Kill a server after it has committed what was written, which a snapshot makes it do.

    Killed before, etcd 3.5.0 to 3.5.2 may lose writes that it had acknowledged (etcd issue 13766).
    """
    await server.etcdctl("snapshot", "save", str(server.directory / "snapshot"))
    await server.kill()


async def until(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, seconds: float = HANG
) -> T:
    """Ask again and again until the answer is as it should be; for what only a server tells."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not holds(answer := await ask()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"still {answer!r} after {seconds} s")
        await asyncio.sleep(0.02)
    return answer
