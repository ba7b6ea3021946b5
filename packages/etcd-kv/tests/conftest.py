"""Fixtures of the tests of etcd-kv."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from kv_coalescing_support import Recorder, until_gets_are_shared
from kv_support import PATIENT

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

GrantLease = Callable[[], Awaitable[int]]


@pytest.fixture
async def kv(etcd_endpoint: str) -> AsyncIterator[KVClient]:
    """A client of the shared server; a test uses only keys below its `key_prefix`."""
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        yield KVClient(channel)


@pytest.fixture
async def unreachable_kv() -> AsyncIterator[KVClient]:
    """A client without a server: a request that is sent fails with `ConnectionFailedError`."""
    channel = Channel("127.0.0.1:1", connect_timeout=2)
    yield KVClient(channel)
    await channel.close()


@pytest.fixture
def grant_lease(etcd_server: EtcdServer) -> GrantLease:
    """Grants a lease of ten minutes with etcdctl, because etcd-kv cannot grant leases."""

    async def grant() -> int:
        output = await etcd_server.etcdctl("lease", "grant", "600")
        # "lease 694d71ddacfda227 granted with TTL(600s)"
        return int(output.split()[1], 16)

    return grant


@pytest.fixture(scope="module")
def private_server() -> Iterator[EtcdServer]:
    """A server for one test module, for tests that pause it, compact it or delete all its keys."""
    server = EtcdServer()
    asyncio.run(server.start())
    yield server
    asyncio.run(server.close())


@pytest.fixture
async def sent(etcd_endpoint: str) -> AsyncIterator[Recorder]:
    """The view below the client `shared`."""
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        yield Recorder(channel)


@pytest.fixture
async def shared(sent: Recorder, key_prefix: bytes) -> KVClient:
    """A coalescing client whose gets are coalesced already if the server is safe."""
    made = KVClient(sent).coalescing()
    await until_gets_are_shared(made, sent, key_prefix)
    return made
