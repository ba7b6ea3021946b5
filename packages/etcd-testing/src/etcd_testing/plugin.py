"""The pytest plugin: fixtures with a real etcd.

All fixtures are synchronous, so that synchronous tests can use them as well as asynchronous ones
of any plugin (pytest-asyncio, anyio): a server belongs to no event loop.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from typing import Protocol

import pytest

from ._sync import run_in_thread
from .cluster import EtcdCluster
from .errors import EtcdTestingError
from .grpc_proxy import GrpcProxy
from .options import ServerOptions, Unpack
from .server import EtcdServer

__all__ = [
    "ClusterFactory",
    "ServerFactory",
    "etcd_cluster_factory",
    "etcd_endpoint",
    "etcd_grpc_proxy",
    "etcd_server",
    "etcd_server_factory",
    "key_prefix",
]

_numbers = itertools.count()


class ServerFactory(Protocol):
    """The type of the fixture `etcd_server_factory`."""

    def __call__(self, **options: Unpack[ServerOptions]) -> EtcdServer:
        """Start a server with these options; it is closed at the end of the test."""


class ClusterFactory(Protocol):
    """The type of the fixture `etcd_cluster_factory`."""

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
    """One member of etcd, shared by the tests of a session; each uses its own `key_prefix`."""
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


@pytest.fixture(scope="session")
def etcd_grpc_proxy(pytestconfig: pytest.Config) -> Iterator[GrpcProxy]:
    """etcd's own proxy in front of a server of its own, shared by the tests of a session.

    It does not use `etcd_server`, where the proxy's own watches would be counted as a test's.
    """
    server = EtcdServer(args=pytestconfig.getini("etcd_args"))
    try:
        _start(server)
        proxy = GrpcProxy(server)
        try:
            _start(proxy)
            yield proxy
        finally:
            run_in_thread(proxy.close())
    finally:
        run_in_thread(server.close())


@pytest.fixture
def key_prefix(request: pytest.FixtureRequest) -> bytes:
    """A key prefix that no other test of the session uses; it ends with a slash."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", request.node.name)
    return f"/{name}/{os.getpid()}-{next(_numbers)}/".encode()


@pytest.fixture
def etcd_server_factory() -> Iterator[ServerFactory]:
    """Starts servers for the test, with any options of `EtcdServer`; closes them at its end."""
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
    """Starts clusters for the test, like `etcd_server_factory`."""
    made: list[EtcdCluster] = []

    def make(size: int = 3, **options: Unpack[ServerOptions]) -> EtcdCluster:
        if "peer_proxies" in options:
            raise TypeError(
                "peer_proxies belong to an event loop: use `async with EtcdCluster(…)` in the test"
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


def _start(what: EtcdServer | EtcdCluster | GrpcProxy) -> None:
    try:
        run_in_thread(what.start())
    except EtcdTestingError as error:
        # The frames of the thread and its loop would hide the message.
        raise error.with_traceback(None) from None
