"""Fixtures of the lock tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from lock_loss_support import Blocks, BlocksOf
from lock_support import PATIENT, Program

from etcd_channel import Channel
from etcd_testing import EtcdServer


@pytest.fixture(autouse=True)
def time_for_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock whose key is gone asks the server why, here for a minute instead of a second."""
    monkeypatch.setattr("etcd_lock._hold._REASON_TIMEOUT", 60.0)


@pytest.fixture
async def program(etcd_endpoint: str) -> AsyncIterator[Program]:
    """A program on the shared server; its keys begin with the test's `key_prefix`."""
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        yield Program(channel)


@pytest.fixture
async def other(etcd_endpoint: str) -> AsyncIterator[Program]:
    """Another program, with a separate channel."""
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        yield Program(channel)


@pytest.fixture
async def own_server() -> AsyncIterator[EtcdServer]:
    """A separate server, so that its leases and watchers can be counted."""
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def alone(own_server: EtcdServer) -> AsyncIterator[Program]:
    """A program with a separate server."""
    async with Channel(own_server.endpoint, **PATIENT) as channel:
        yield Program(channel)


@pytest.fixture
async def block(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> AsyncIterator[Blocks]:
    """Makes the `async with` blocks of objects that can be lost."""
    blocks = BlocksOf(program, etcd_server, key_prefix)
    yield blocks
    # The tasks that end the lease or delete the key may end after the body.
    await asyncio.gather(*blocks.losing)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns the level and the logger of each record about losses."""
    caplog.set_level(logging.INFO, "etcd_lease")
    caplog.set_level(logging.INFO, "etcd_lock")

    def read() -> list[str]:
        return [
            f"{record.levelname} {record.name}"
            for record in caplog.records
            if record.name in ("etcd_lease", "etcd_lock")
        ]

    return read
