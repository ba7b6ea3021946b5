"""What the tests of watches share: a writer of keys, and readers with a timeout.

The package that puts keys is a sibling, which these tests must do without: so they call the RPCs
with the messages of etcd_testing.played.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from etcd_channel import Channel, Rpc
from etcd_testing import EtcdServer
from etcd_testing.played import messages
from etcd_watch import Event, Watch, WatchClient, WatchResponse

__all__ = [
    "HANG",
    "PUT",
    "Writer",
    "connect",
    "kill",
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
"""Seconds after which a test counts as hung; no assertion depends on it."""


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
    """Writes keys on a channel; each method returns the revision of its change."""

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
    """A watch client and a writer on a channel of their own, not connected yet."""
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
    """Read `count` events."""
    return [await within(watch.__anext__()) for _ in range(count)]


async def read_responses(watch: Watch, count: int) -> list[WatchResponse]:
    """Read `count` responses."""
    responses = watch.responses()
    return [await within(responses.__anext__()) for _ in range(count)]


def values(events: Sequence[Event]) -> list[bytes]:
    """The values of the events, in order."""
    return [event.kv.value for event in events]


# State of the server ---------------------------------------------------------------------


async def watchers(server: EtcdServer) -> int:
    """Return the number of watchers on a server."""
    return int((await server.metrics())["etcd_debugging_mvcc_watcher_total"])


async def streams(server: EtcdServer) -> int:
    """Return the number of open watch streams on a server."""
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
    """Poll until the answer fulfils a condition; for state that only a server has."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not holds(answer := await ask()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"still {answer!r} after {seconds} s")
        await asyncio.sleep(0.02)
    return answer
