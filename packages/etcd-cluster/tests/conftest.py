"""What the tests of members and maintenance share: clients of servers of their own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from etcd_channel import Channel
from etcd_cluster import ClusterClient, MaintenanceClient
from etcd_testing import EtcdServer

# For cluster_support, however the tests are collected.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A server of the test's own: members and alarms are the whole server's."""
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def channel(server: EtcdServer) -> AsyncIterator[Channel]:
    async with Channel(server.endpoint) as channel:
        yield channel


@pytest.fixture
def cluster(channel: Channel) -> ClusterClient:
    return ClusterClient(channel)


@pytest.fixture
def maintenance(channel: Channel) -> MaintenanceClient:
    return MaintenanceClient(channel)


@pytest.fixture
async def nobody() -> AsyncIterator[Channel]:
    """A channel to a server that is not there: whatever is sent fails by another error."""
    channel = Channel("127.0.0.1:1")
    yield channel
    await channel.close()
