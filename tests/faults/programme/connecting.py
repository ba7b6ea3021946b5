"""Opens clients before the faults begin, also on a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from etcd_client import Client, ConnectionFailedError, ConnectionTimeoutError

__all__ = ["PATIENT", "connected"]

_PATIENCE = 60.0
"""Seconds. The defaults of a client are for a machine with processors to spare."""

PATIENT: dict[str, Any] = dict.fromkeys(
    ("connect_wait_timeout", "keepalive_timeout", "timeout"), _PATIENCE
)
"""Settings for calls that nothing is injected into: they outlast a pause of a busy machine."""


@asynccontextmanager
async def connected(endpoints: Iterable[str], **arguments: Any) -> AsyncIterator[Client]:
    """Yield a client that has connected, and close it at the end of the block.

    It has the default settings, and tries again if a member does not answer within them.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE
    client = Client(endpoints=list(endpoints), **arguments)
    try:
        while True:
            try:
                await client.connect()
                break
            except (ConnectionFailedError, ConnectionTimeoutError):
                if loop.time() > end:
                    raise
        yield client
    finally:
        await client.close()
