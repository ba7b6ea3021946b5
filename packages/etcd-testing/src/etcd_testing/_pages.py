"""The pages /health and /metrics of an etcd, over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json

from ._finish import limited

__all__ = ["ask_health", "read_metrics"]


async def ask_health(host: str, port: int, *, timeout: float) -> bool:
    """Whether the member is healthy by /health; a NOSPACE alarm does not make it unhealthy."""
    # First without `exclude`: etcd logs a warning if there is no such alarm to exclude.
    for path in ("/health", "/health?exclude=NOSPACE"):
        try:
            health = json.loads(await _page(host, port, path, timeout))
        except (OSError, ValueError):
            return False
        if isinstance(health, dict) and health.get("health") == "true":
            return True
    return False


async def read_metrics(host: str, port: int, *, timeout: float) -> dict[str, float]:
    """Return the value of every sample of /metrics, by its name with its labels if any."""
    page = await _page(host, port, "/metrics", timeout)
    samples = (line.rsplit(" ", 1) for line in page.splitlines() if line[:1] not in ("#", ""))
    return {name: float(value) for name, value in samples}


async def _page(host: str, port: int, path: str, timeout: float) -> str:
    try:
        return await limited(_get(host, port, path), timeout)
    except TimeoutError as error:
        raise TimeoutError(f"{host}:{port} did not answer within {timeout} s") from error


async def _get(host: str, port: int, path: str) -> str:
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
    if not parted or not head.startswith(b"HTTP/"):
        raise ConnectionError(f"no HTTP answer from {host}:{port}{path}")
    # Whatever the status: an unhealthy member answers with 503 and the reason.
    return body.decode()
