"""Snapshots of a real server: destinations, and verification by etcd's snapshot tool."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from cluster_support import HANG, fill, snapshot_tool

from etcd_cluster import MaintenanceClient
from etcd_testing import EtcdServer


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def is_whole(data: bytes) -> bool:
    return hashlib.sha256(data[:-32]).digest() == data[-32:] and len(data) % 512 == 32


# A path ----------------------------------------------------------------------------------


async def test_a_snapshot_is_written_to_a_path(
    server: EtcdServer, maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    await fill(server, 3)
    path = tmp_path / "etcd.db"
    taken = await maintenance.snapshot(path)
    data = path.read_bytes()
    assert is_whole(data)
    assert taken.size == len(data) > 3 << 20
    assert taken.sha256 == data[-32:].hex() == hashlib.sha256(data[:-32]).hexdigest()
    assert names(tmp_path) == ["etcd.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it holds all that etcd does"


async def test_etcd_restores_a_snapshot_with_all_keys(
    server: EtcdServer, maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    await server.etcdctl("put", "key", "first")
    await server.etcdctl("put", "key", "second")
    await maintenance.snapshot(str(tmp_path / "etcd.db"))
    await server.etcdctl("put", "key", "later")
    report = await snapshot_tool("status", tmp_path / "etcd.db", "--write-out=fields")
    assert '"Revision" : 3' in report

    restored = EtcdServer(name="restored", data_dir=tmp_path / "data")
    try:
        await restored.restore(tmp_path / "etcd.db")
        assert (await restored.etcdctl("get", "key", "--print-value-only")).strip() == "second"
        old = await restored.etcdctl("get", "key", "--print-value-only", "--rev=2")
        assert old.strip() == "first"
    finally:
        await restored.close()


async def test_an_existing_file_is_replaced_at_the_end(
    maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    path = tmp_path / "etcd.db"
    path.write_bytes(b"yesterday's")
    seen = []
    await maintenance.snapshot(path, progress=lambda done, total: seen.append(path.read_bytes()))
    assert set(seen) == {b"yesterday's"}
    assert is_whole(path.read_bytes())


async def test_a_link_is_followed(maintenance: MaintenanceClient, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    latest = tmp_path / "latest.db"
    latest.symlink_to(tmp_path / "disk" / "etcd.db")
    await maintenance.snapshot(latest)
    assert latest.is_symlink()
    assert names(tmp_path / "disk") == ["etcd.db"]
    assert is_whole(latest.read_bytes())


async def test_progress_gets_the_bytes_so_far_and_the_total(
    server: EtcdServer, maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    await fill(server, 2)
    told: list[tuple[int, int]] = []
    taken = await maintenance.snapshot(
        tmp_path / "etcd.db", progress=lambda done, total: told.append((done, total))
    )
    assert len(told) > 10
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {taken.size}
    assert told[-1] == (taken.size, taken.size)


# File objects ----------------------------------------------------------------------------


async def test_a_snapshot_is_written_to_an_open_file(
    maintenance: MaintenanceClient, tmp_path: Path
) -> None:
    with open(tmp_path / "etcd.db", "wb") as file:  # noqa: ASYNC230  # it is the caller's
        taken = await maintenance.snapshot(file)
        data = (tmp_path / "etcd.db").read_bytes()
        assert len(data) == taken.size, "nothing is left in a buffer"
        assert is_whole(data)
        assert not file.closed


async def test_a_snapshot_is_written_to_memory(maintenance: MaintenanceClient) -> None:
    buffer = io.BytesIO(b"before ")
    buffer.seek(7)
    await maintenance.snapshot(file_obj=buffer)
    assert buffer.getvalue().startswith(b"before ")
    assert is_whole(buffer.getvalue()[7:])


async def test_a_snapshot_is_written_to_a_named_temporary_file(
    maintenance: MaintenanceClient,
) -> None:
    with tempfile.NamedTemporaryFile() as file:
        await maintenance.snapshot(file)
        file.seek(0)
        assert is_whole(file.read())


class Raw(io.RawIOBase):
    """A file that writes at most a thousand bytes at a time, like a pipe or a socket."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.threads: set[int] = set()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        self.threads.add(threading.get_ident())
        self.data += piece[:1000]
        return min(len(piece), 1000)


async def test_partial_writes_are_continued(maintenance: MaintenanceClient) -> None:
    file = Raw()
    await maintenance.snapshot(file)
    assert is_whole(bytes(file.data))


class Awaited:
    """A file object whose `write` is awaited."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, piece: bytes) -> int:
        await asyncio.sleep(0)
        self.data += piece
        return len(piece)


class Promised(Awaited):
    """A file object whose `write` is a plain method that returns an awaitable."""

    def write(self, piece: bytes) -> asyncio.Future[int]:  # type: ignore[override]  # as said
        return asyncio.ensure_future(super().write(piece))


class Plain:
    """A file object that does not return a size, and belongs to the event loop."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, piece: bytes) -> None:
        asyncio.get_running_loop()
        self.data += piece


class Scanty(Plain):
    def write(self, piece: bytes) -> int:  # type: ignore[override]  # as said
        super().write(piece[:1000])
        return len(piece[:1000])


@pytest.mark.parametrize("kind", [Awaited, Promised, Plain, Scanty])
async def test_an_object_with_a_method_write(
    maintenance: MaintenanceClient, kind: type[Any]
) -> None:
    file = kind()
    taken = await maintenance.snapshot(file)
    assert is_whole(file.data)
    assert len(file.data) == taken.size


# The event loop --------------------------------------------------------------------------


class Slow(Raw):
    """A file on a slow disk, which waits for the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def write(self, piece: Any, /) -> int:
        turned = threading.Event()
        self._loop.call_soon_threadsafe(turned.set)
        assert turned.wait(HANG)
        self.data += piece
        return len(piece)


async def test_a_slow_disk_does_not_block_the_event_loop(
    maintenance: MaintenanceClient,
) -> None:
    file = Slow(asyncio.get_running_loop())
    await asyncio.wait_for(maintenance.snapshot(file), HANG)
    assert is_whole(bytes(file.data))


async def test_no_thread_is_left_behind(maintenance: MaintenanceClient, tmp_path: Path) -> None:
    file = Raw()
    await maintenance.snapshot(tmp_path / "etcd.db")
    await maintenance.snapshot(file)
    assert threading.get_ident() not in file.threads
    assert not [each for each in threading.enumerate() if "etcd-snapshot" in each.name]
