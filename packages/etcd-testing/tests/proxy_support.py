"""An echo server, and a client of it by way of a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from etcd_testing import FaultProxy

__all__ = ["LONG", "SILENCE", "Client", "EchoServer", "abort_with_reset", "connection"]

SILENCE = 0.05  # How long nothing has to arrive for it to be silence; no test waits for more.
LONG = 60.0  # Nothing takes that long but a hang, not even on a busy machine.


class EchoServer:
    """Sends back what it gets, and remembers how each of its connections went on."""

    def __init__(self) -> None:
        self.received = b""
        self.ends: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> EchoServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while data := await reader.read(65536):
                self.received += data
                self.arrived.set()
                writer.write(data)
                await writer.drain()
            self.ends.put_nowait(None)
        except ConnectionError as error:
            self.ends.put_nowait(error)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()

    async def end(self) -> BaseException | None:
        """How the next connection ends: None by an orderly end, else its error."""
        return await asyncio.wait_for(self.ends.get(), LONG)


class Client:
    """One connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), LONG)

    async def echo(self, data: bytes) -> bytes:
        await self.send(data)
        return await self.read(len(data))

    async def end(self) -> bytes:
        """What is left to read up to the end; raises ConnectionError after a reset."""
        return await asyncio.wait_for(self.reader.read(), LONG)

    async def hears_nothing(self) -> bool:
        """Whether nothing arrives, not even an end."""
        try:
            await asyncio.wait_for(self.reader.read(1), SILENCE)
        except asyncio.TimeoutError:
            return True
        return False


@contextlib.asynccontextmanager
async def connection(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def abort_with_reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    transport = writer.transport
    transport.abort()
