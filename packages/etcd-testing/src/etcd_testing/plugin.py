"""The pytest plugin: a real etcd for everyone's tests, as fixtures.

All fixtures are synchronous, so that synchronous tests can use them as well as asynchronous ones
of whatever plugin (pytest-asyncio, anyio): a server belongs to no event loop.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

from ._sync import run_in_thread
from .cluster import EtcdCluster
from .errors import EtcdTestingError
from .options import ServerOptions
from .server import EtcdServer

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "ClusterFactory",
    "ServerFactory",
    "etcd_cluster_factory",
    "etcd_endpoint",
    "etcd_server",
    "etcd_server_factory",
    "key_prefix",
]

_numbers = itertools.count()


class ServerFactory(Protocol):
    """What the fixture `etcd_server_factory` gives."""

    def __call__(self, **options: Unpack[ServerOptions]) -> EtcdServer:
        """Start a server with these options; it is closed at the end of the test."""


class ClusterFactory(Protocol):
    """What the fixture `etcd_cluster_factory` gives."""

    def __call__(self, size: int = 3, **options: Unpack[ServerOptions]) -> EtcdCluster:
        """Start a cluster with these options; it is closed at the end of the test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings of the shared server."""
    parser.addini(
        "etcd_args",
        "further flags of etcd for the server that the fixture etcd_server shares",
        type="args",
        default=[],
    )


@pytest.fixture(scope="session")
def etcd_server(pytestconfig: pytest.Config) -> Iterator[EtcdServer]:
    """One member of etcd, shared by the tests of a session; each keeps to its `key_prefix`."""
    server = EtcdServer(args=pytestconfig.getini("etcd_args"))
    try:
        _start(server)
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


@pytest.fixture
def etcd_server_factory() -> Iterator[ServerFactory]:
    """Makes servers of the test's own, with any options of `EtcdServer`; started, and closed
    at the end of the test.
    """
    made: list[EtcdServer] = []

    def make(**options: Unpack[ServerOptions]) -> EtcdServer:
        server = EtcdServer(**options)
        made.append(server)
        _start(server)
        return server

    try:
        yield make
    finally:
        for server in made:
            run_in_thread(server.close())


@pytest.fixture
def etcd_cluster_factory() -> Iterator[ClusterFactory]:
    """Makes clusters of the test's own, as `etcd_server_factory` makes servers."""
    made: list[EtcdCluster] = []

    def make(size: int = 3, **options: Unpack[ServerOptions]) -> EtcdCluster:
        if "peer_proxies" in options:
            raise TypeError(
                "peer_proxies belong to an event loop; say `async with EtcdCluster(…)` in the test"
            )
        cluster = EtcdCluster(size, **options)
        made.append(cluster)
        _start(cluster)
        return cluster

    try:
        yield make
    finally:
        for cluster in made:
            run_in_thread(cluster.close())


def _start(what: EtcdServer | EtcdCluster) -> None:
    try:
        run_in_thread(what.start())
    except EtcdTestingError as error:
        # The message says it all; the frames of the thread and its loop would bury it.
        raise error.with_traceback(None) from None
