"""Fixtures of the recipes' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from recipes_support import PATIENT, Program

from etcd_channel import Channel
from etcd_testing import EtcdServer, FaultProxy


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A separate server, so that its keys, leases and watchers can be counted."""
    async with EtcdServer() as own:
        yield own


@pytest.fixture
async def program(server: EtcdServer) -> AsyncIterator[Program]:
    """A program on the separate server."""
    async with Channel(server.endpoint, **PATIENT) as channel:
        yield Program(channel, server)


@pytest.fixture
async def other(server: EtcdServer) -> AsyncIterator[Program]:
    """Another program, with a separate channel."""
    async with Channel(server.endpoint, **PATIENT) as channel:
        yield Program(channel, server)


@pytest.fixture
async def proxy(server: EtcdServer) -> AsyncIterator[FaultProxy]:
    """A proxy before the separate server that can break its connections."""
    async with FaultProxy(server.endpoint) as made:
        yield made


@pytest.fixture
async def faulty(server: EtcdServer, proxy: FaultProxy) -> AsyncIterator[Program]:
    """A program whose connections go through the proxy."""
    async with Channel(proxy.endpoint, **PATIENT) as channel:
        yield Program(channel, server)
