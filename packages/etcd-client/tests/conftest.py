"""A client of the shared server, and one of a namespace in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcd_client import Client, KeyspaceClient


@pytest.fixture
async def client(etcd_endpoint: str) -> AsyncIterator[Client]:
    async with Client(endpoints=etcd_endpoint) as client:
        yield client


@pytest.fixture
def inside(client: Client, key_prefix: bytes) -> KeyspaceClient:
    return client.namespace(key_prefix + b"in/")
