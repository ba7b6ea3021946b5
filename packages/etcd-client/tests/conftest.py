"""A client of the shared server, and one of a namespace in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcd_client import Client, KeyspaceClient


@pytest.fixture
async def client(etcd_endpoint: str) -> AsyncIterator[Client]:
    # So patient that no call fails if the machine stands still for seconds.
    async with Client(
        endpoints=etcd_endpoint, connect_wait_timeout=30, keepalive_timeout=30, timeout=60
    ) as client:
        yield client


@pytest.fixture
def inside(client: Client, key_prefix: bytes) -> KeyspaceClient:
    return client.namespace(key_prefix + b"in/")
