"""Fixtures of the cache tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cache_support import Program, connect

from etcd_testing import EtcdServer
from etcd_testing.plugin import ServerFactory


@pytest.fixture
async def program(etcd_endpoint: str) -> AsyncIterator[Program]:
    """A program on the shared server; its keys begin with the test's `key_prefix`."""
    async with connect(etcd_endpoint) as program:
        yield program


@pytest.fixture
def own_server(etcd_server_factory: ServerFactory) -> EtcdServer:
    """A separate server, for tests that compact, cut, kill or count."""
    return etcd_server_factory()
