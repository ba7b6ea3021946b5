"""Snapshots to file objects that have a buffer."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile

import pytest

from etcd_cluster import MaintenanceClient


async def test_a_named_temporary_file_is_complete(maintenance: MaintenanceClient) -> None:
    with tempfile.NamedTemporaryFile(buffering=1 << 20) as file:
        taken = await maintenance.snapshot(file)
        assert os.stat(file.name).st_size == taken.size


class Buffered:
    """Writes and flushes as libraries for asynchronous files do."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        self._buffer: list[bytes] = []

    async def write(self, data: bytes) -> int:
        await asyncio.sleep(0)
        self._buffer.append(data)
        return len(data)

    async def flush(self) -> None:
        await asyncio.sleep(0)
        self.file.write(b"".join(self._buffer))
        self._buffer.clear()


async def test_an_awaitable_flush_is_awaited(maintenance: MaintenanceClient) -> None:
    target = Buffered()
    taken = await maintenance.snapshot(target)
    assert len(target.file.getvalue()) == taken.size


async def test_an_error_of_flush_is_raised(maintenance: MaintenanceClient) -> None:
    class Full(Buffered):
        async def flush(self) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await maintenance.snapshot(Full())


@pytest.mark.parametrize("flush", [None, "not a method"])
async def test_an_object_without_a_method_flush_only_needs_write(
    maintenance: MaintenanceClient, flush: object
) -> None:
    class Writer:
        def __init__(self) -> None:
            self.size = 0
            self.flush = flush

        def write(self, data: bytes) -> None:
            self.size += len(data)

    target = Writer()
    taken = await maintenance.snapshot(target)
    assert target.size == taken.size
