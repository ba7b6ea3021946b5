"""Lets the tests import what they share, `watch_support`, however they are collected."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from etcd_testing import EtcdServer

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def server(etcd_server: EtcdServer) -> EtcdServer:
    """The shared server while nobody else watches there: its watchers can be counted.

    The test that went before has closed its channel, but the server may not have heard of it.
    """
    from watch_support import streams, until, watchers

    await until(lambda: watchers(etcd_server), lambda count: count == 0)
    await until(lambda: streams(etcd_server), lambda count: count == 0)
    return etcd_server
