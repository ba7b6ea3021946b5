"""Fixtures of the cluster tests: clients of separate servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cluster_support import PATIENT

from etcd_channel import Channel
from etcd_cluster import ClusterClient, MaintenanceClient
from etcd_testing import EtcdServer


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A separate server, because members and alarms concern the whole server."""
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def channel(server: EtcdServer) -> AsyncIterator[Channel]:
    async with Channel(server.endpoint, **PATIENT) as channel:
        yield channel


@pytest.fixture
def cluster(channel: Channel) -> ClusterClient:
    return ClusterClient(channel)


@pytest.fixture
def maintenance(channel: Channel) -> MaintenanceClient:
    return MaintenanceClient(channel)


@pytest.fixture
async def nobody() -> AsyncIterator[Channel]:
    """A channel without a server: a call that is sent raises another error."""
    channel = Channel("127.0.0.1:1")
    yield channel
    await channel.close()
