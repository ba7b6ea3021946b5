"""One plain HTTP GET, for the pages of an etcd's metrics address."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["http_get"]


async def http_get(host: str, port: int, path: str, *, timeout: float) -> tuple[int, str]:
    """Fetch a page; the status and the body.

    Raises OSError when no whole answer arrives, TimeoutError when none does in `timeout` seconds.
    """
    try:
        return await asyncio.wait_for(_get(host, port, path), timeout)
    except asyncio.TimeoutError as error:  # another class than TimeoutError before Python 3.11
        raise TimeoutError(f"no answer of {host}:{port} in {timeout} s") from error


async def _get(host: str, port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        # HTTP/1.0: the server closes, and sends the body in one piece.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, parted, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if not parted or len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"no HTTP answer from {host}:{port}{path}")
    return int(words[1]), body.decode()
