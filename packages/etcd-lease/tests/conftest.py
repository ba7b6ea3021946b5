"""Fixtures of the lease tests: clients of the shared server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from lease_support import PATIENT

from etcd_channel import Channel
from etcd_lease import LeaseClient


@pytest.fixture
async def channel(etcd_endpoint: str) -> AsyncIterator[Channel]:
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        yield channel


@pytest.fixture
def client(channel: Channel) -> LeaseClient:
    return LeaseClient(channel)


@pytest.fixture
async def nobody() -> AsyncIterator[LeaseClient]:
    """A client without a server: a call that is sent raises another error."""
    channel = Channel("127.0.0.1:1")
    yield LeaseClient(channel)
    await channel.close()
