"""What the tests of leases share: a client of the shared server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from etcd_channel import Channel
from etcd_lease import LeaseClient

# For lease_support, however the tests are collected.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def channel(etcd_endpoint: str) -> AsyncIterator[Channel]:
    async with Channel(etcd_endpoint) as channel:
        yield channel


@pytest.fixture
def client(channel: Channel) -> LeaseClient:
    return LeaseClient(channel)


@pytest.fixture
async def nobody() -> AsyncIterator[LeaseClient]:
    """A client of a server that is not there: whatever is sent fails by another error."""
    channel = Channel("127.0.0.1:1")
    yield LeaseClient(channel)
    await channel.close()
