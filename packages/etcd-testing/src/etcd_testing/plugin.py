"""The pytest plugin: a real etcd for everyone's tests, as fixtures.

All fixtures are synchronous, so that synchronous tests can use them as well as asynchronous ones
of whatever plugin (pytest-asyncio, anyio): a server belongs to no event loop.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator

import pytest

from ._sync import run_in_thread
from .server import EtcdServer

__all__ = ["etcd_endpoint", "etcd_server", "key_prefix"]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def etcd_server() -> Iterator[EtcdServer]:
    """One member of etcd, shared by the tests of a session; each keeps to its `key_prefix`."""
    server = EtcdServer()
    try:
        run_in_thread(server.start())
        yield server
    finally:
        run_in_thread(server.close())


@pytest.fixture
def etcd_endpoint(etcd_server: EtcdServer) -> str:
    """The address of the shared server, "host:port"."""
    return etcd_server.endpoint


@pytest.fixture
def key_prefix(request: pytest.FixtureRequest) -> bytes:
    """A prefix of keys that no other test of the session has; it ends with a slash."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", request.node.name)
    return f"/{name}/{os.getpid()}-{next(_numbers)}/".encode()
