"""What the tests of the locks share; `lock_support` holds the rest of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from etcd_channel import Channel
from etcd_testing import EtcdServer

# However the tests are collected, they can import what they share.
sys.path.insert(0, str(Path(__file__).parent))

from lock_support import Program  # only now can it be found


@pytest.fixture
async def program(etcd_endpoint: str) -> AsyncIterator[Program]:
    """A program on the shared server; a test keeps to its `key_prefix`."""
    async with Channel(etcd_endpoint) as channel:
        yield Program(channel)


@pytest.fixture
async def other(etcd_endpoint: str) -> AsyncIterator[Program]:
    """Another program, with a channel of its own."""
    async with Channel(etcd_endpoint) as channel:
        yield Program(channel)


@pytest.fixture
async def own_server() -> AsyncIterator[EtcdServer]:
    """A server of the test's own, whose leases and watchers can be counted."""
    async with EtcdServer() as server:
        yield server
