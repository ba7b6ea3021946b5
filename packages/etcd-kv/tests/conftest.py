"""What the tests of the key-value service share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

GrantLease = Callable[[], Awaitable[int]]


@pytest.fixture
async def kv(etcd_endpoint: str) -> AsyncIterator[KVClient]:
    """The service on the shared server; a test keeps to its `key_prefix`."""
    async with Channel(etcd_endpoint) as channel:
        yield KVClient(channel)


@pytest.fixture
async def nobody() -> AsyncIterator[KVClient]:
    """A service that no server stands behind: whatever is sent ends in `ConnectionFailedError`."""
    channel = Channel("127.0.0.1:1", connect_timeout=0.1)
    yield KVClient(channel)
    await channel.close()


@pytest.fixture
def grant_lease(etcd_server: EtcdServer) -> GrantLease:
    """Grants a lease of ten minutes, by etcdctl: the package knows leases by their ids alone."""

    async def grant() -> int:
        said = await etcd_server.etcdctl("lease", "grant", "600")
        # "lease 694d71ddacfda227 granted with TTL(600s)"
        return int(said.split()[1], 16)

    return grant


@pytest.fixture(scope="module")
def lone_server() -> Iterator[EtcdServer]:
    """A server of a module's own, for tests that pause it, compact it or delete all its keys."""
    server = EtcdServer()
    asyncio.run(server.start())
    yield server
    asyncio.run(server.close())
