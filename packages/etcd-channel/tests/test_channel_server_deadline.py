"""A server that resets the stream of a call at its deadline, as etcd 3.5.30 does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from channel_support import PUT, RANGE, SNAPSHOT

from etcd_channel import Channel
from etcd_channel.errors import ConnectionTimeoutError, RequestCanceledError
from etcd_testing.played import messages

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# HTTP/2 (RFC 9113): types of frames, a flag, and an error code.
_HEADERS, _RST_STREAM, _SETTINGS, _PING = 1, 3, 4, 6
_ACK = 1
_CANCEL = 8

# Seconds: the timeout of a call, and when the server's timer for it ends the call.
_TIMEOUT = 1.0
_AT_DEADLINE = 0.95


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


class _ResettingServer:
    """Resets the stream of each request `delay` seconds after it received the headers."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.requests = 0
        self._serving: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def ended(self) -> None:
        """Wait until all clients have closed their connections."""
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(len(_PREFACE))
            writer.write(_frame(_SETTINGS))
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind in (_SETTINGS, _PING) and not flags & _ACK:
                    writer.write(_frame(kind, payload if kind == _PING else b"", flags=_ACK))
                elif kind == _HEADERS:
                    self.requests += 1
                    reset = _frame(_RST_STREAM, _CANCEL.to_bytes(4, "big"), stream=stream)
                    asyncio.get_running_loop().call_later(self.delay, writer.write, reset)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed the connection
        finally:
            writer.close()


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[_ResettingServer, Channel]]:
    server = _ResettingServer()
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        async with Channel(f"127.0.0.1:{port}") as channel:
            server.requests = 0
            yield server, channel
        await server.ended()
    finally:
        listening.close()


async def test_a_write_that_the_server_ends_at_its_deadline_has_timed_out() -> None:
    async with _connected() as (server, channel):
        server.delay = _AT_DEADLINE
        with pytest.raises(ConnectionTimeoutError) as caught:
            await channel.call(PUT, messages.PutRequest(key=b"k"), timeout=_TIMEOUT)
        assert not caught.value.definite
        assert server.requests <= 1  # it was not repeated


async def test_a_download_that_the_server_ends_at_its_deadline_has_timed_out() -> None:
    async with _connected() as (server, channel):
        server.delay = _AT_DEADLINE
        request = messages.SnapshotRequest()
        async with aclosing(channel.download(SNAPSHOT, request, timeout=_TIMEOUT)) as parts:
            with pytest.raises(ConnectionTimeoutError):
                await parts.__anext__()


async def test_a_read_that_a_member_ends_at_its_part_of_the_timeout_asks_another_member(
    etcd_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.urandom", bytes)  # the first endpoint is tried first
    async with _connected() as (server, alone):
        endpoints = [alone.current_endpoint, etcd_endpoint]
        # The silence of the first one must not be noticed before.
        async with Channel(endpoints, keepalive_timeout=60) as channel:
            assert channel.current_endpoint == alone.current_endpoint
            # Each member has a part of the timeout, and the server knows the end of its part.
            server.delay = 4 * _TIMEOUT - (_TIMEOUT - _AT_DEADLINE)
            request = messages.RangeRequest(key=b"server-deadline/k")
            assert not (await channel.call(RANGE, request, timeout=8 * _TIMEOUT)).count


async def test_a_call_that_the_server_resets_long_before_its_deadline_was_cancelled() -> None:
    async with _connected() as (server, channel):
        with pytest.raises(RequestCanceledError) as caught:
            await channel.call(PUT, messages.PutRequest(key=b"k"), timeout=60)
        assert not caught.value.definite
        assert server.requests == 1
