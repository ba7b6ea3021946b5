"""What the tests of the proxy share; `proxy_support` holds the rest of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from proxy_support import EchoServer

from etcd_testing import FaultProxy


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    async with EchoServer() as server:
        yield server


@pytest.fixture
async def proxy(echo: EchoServer) -> AsyncIterator[FaultProxy]:
    """A proxy before the echo server."""
    async with FaultProxy(echo.endpoint) as proxy:
        yield proxy
