"""What the tests of watches share; `watch_support` holds the rest of it."""

from __future__ import annotations

import pytest
from watch_support import streams, until, watchers

from etcd_testing import EtcdServer
from etcd_testing.plugin import ServerFactory

SOON = 5.0
"""Seconds that the shared server gets to notice that the channels of earlier tests are closed."""


@pytest.fixture
async def server(etcd_server: EtcdServer, etcd_server_factory: ServerFactory) -> EtcdServer:
    """A server without watches, so that a test can count its own.

    It is the shared server if that has none. Its gauges may also be wrong for good: etcd counts a
    watch of a compacted revision down twice if it is cancelled while its stream closes (etcd issue
    19577).
    """
    try:
        await until(lambda: watchers(etcd_server), lambda count: count == 0, seconds=SOON)
        await until(lambda: streams(etcd_server), lambda count: count == 0, seconds=SOON)
    except TimeoutError:
        return etcd_server_factory()
    return etcd_server
