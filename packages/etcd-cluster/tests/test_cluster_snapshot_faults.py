"""Failed snapshots raise an error and leave no partial file."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_support import HANG, fill

from etcd_channel import Channel, ConnectionFailedError, errors
from etcd_cluster import MaintenanceClient, SnapshotDamagedError
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.rpcs import SNAPSHOT
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd

OLD = b"yesterday's"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of an earlier snapshot."""
    path = tmp_path / "snapshots" / "etcd.db"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def is_as_it_was(path: Path) -> bool:
    threads = [each for each in threading.enumerate() if "etcd-snapshot" in each.name]
    return os.listdir(path.parent) == [path.name] and path.read_bytes() == OLD and not threads


# The destination -------------------------------------------------------------------------


async def test_a_missing_folder_is_refused(nobody: Channel, tmp_path: Path) -> None:
    """It is checked before anything is sent; a call would raise another error here."""
    path = tmp_path / "nowhere" / "etcd.db"
    with pytest.raises(FileNotFoundError) as caught:
        await MaintenanceClient(nobody).snapshot(path)
    assert caught.value.filename == str(path)


async def test_a_folder_instead_of_a_file_is_refused(nobody: Channel, tmp_path: Path) -> None:
    for folder in (tmp_path, f"{tmp_path}/", tmp_path / "..", "/", "."):
        with pytest.raises(IsADirectoryError):
            await MaintenanceClient(nobody).snapshot(folder)
    assert not os.listdir(tmp_path)


async def test_a_device_is_not_replaced_by_a_file(nobody: Channel, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, "/dev/null"):
        with pytest.raises(OSError, match="replaces regular files only") as caught:
            await MaintenanceClient(nobody).snapshot(path)
        assert caught.value.errno == errno.EINVAL
    assert fifo.is_fifo()


@contextlib.contextmanager
def not_as_root() -> Iterator[None]:
    """Runs the block as another user than root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_read_only_folder_is_refused(nobody: Channel, path: Path) -> None:
    path.parent.chmod(0o555)
    try:
        with not_as_root(), pytest.raises(PermissionError) as caught:
            await MaintenanceClient(nobody).snapshot(path)
    finally:
        path.parent.chmod(0o755)
    assert caught.value.filename == str(path)
    assert is_as_it_was(path)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A full disk, simulated for this process."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_full_disk_raises_for_a_path(
    server: EtcdServer, maintenance: MaintenanceClient, path: Path
) -> None:
    await fill(server, 3)
    await maintenance.status()
    with files_of_at_most(1 << 20), pytest.raises(OSError, match="too large") as caught:
        await maintenance.snapshot(path)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert is_as_it_was(path)
    await maintenance.snapshot(path)
    assert not is_as_it_was(path)


async def test_a_full_disk_raises_for_an_open_file(maintenance: MaintenanceClient) -> None:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open("/dev/full", "wb", buffering=0))  # noqa: ASYNC230
        with pytest.raises(OSError, match="No space left") as caught:
            await maintenance.snapshot(file)
    assert caught.value.errno == errno.ENOSPC


class Full:
    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, piece: bytes) -> int:
        self.room -= len(piece)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(piece)


class Stubborn(io.RawIOBase):
    """A file that writes nothing, and returns 0, or None if it is non-blocking."""

    def __init__(self, answer: int | None) -> None:
        self.answer = answer

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int | None:
        return self.answer


@pytest.mark.parametrize(
    ("file", "number"),
    [(Full(10_000), errno.ENOSPC), (Stubborn(0), errno.EIO), (Stubborn(None), errno.EAGAIN)],
)
async def test_a_file_object_that_writes_nothing_raises(
    maintenance: MaintenanceClient, file: Any, number: int
) -> None:
    with pytest.raises(OSError) as caught:
        await asyncio.wait_for(maintenance.snapshot(file), HANG)
    assert caught.value.errno == number


async def test_an_error_of_progress_ends_the_snapshot(
    maintenance: MaintenanceClient, path: Path
) -> None:
    def progress(done: int, total: int) -> None:
        raise LookupError(done)

    with pytest.raises(LookupError):
        await maintenance.snapshot(path, progress=progress)
    assert is_as_it_was(path)


# The connection --------------------------------------------------------------------------


@pytest.fixture
async def proxy(server: EtcdServer) -> AsyncIterator[FaultProxy]:
    """A proxy that closes the connection after one megabyte of a snapshot of six."""
    await fill(server, 6)
    async with FaultProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def far(proxy: FaultProxy) -> AsyncIterator[MaintenanceClient]:
    async with Channel(proxy.endpoint) as channel:
        yield MaintenanceClient(channel)


def stall(proxy: FaultProxy) -> None:
    proxy.stall_after(3 << 20, direction="to_client")


class Passed:
    """A progress callback that wakes waiting tasks."""

    def __init__(self) -> None:
        self.bytes = 0
        self._event = asyncio.Event()

    def __call__(self, done: int, total: int) -> None:
        self.bytes = done
        if done > 1 << 20:
            self._event.set()

    async def a_megabyte(self) -> None:
        await asyncio.wait_for(self._event.wait(), HANG)


@pytest.mark.parametrize("cut", [FaultProxy.cut, FaultProxy.reset])
async def test_a_connection_that_breaks_ends_the_snapshot(
    proxy: FaultProxy, far: MaintenanceClient, path: Path, cut: Callable[[FaultProxy], int]
) -> None:
    stall(proxy)
    passed = Passed()
    taking = asyncio.create_task(far.snapshot(path, progress=passed))
    await passed.a_megabyte()
    cut(proxy)
    with pytest.raises(ConnectionFailedError) as caught:
        await asyncio.wait_for(taking, HANG)
    assert caught.value.method == "Maintenance.Snapshot"
    assert is_as_it_was(path)


async def test_the_timeout_limits_the_whole_snapshot(
    proxy: FaultProxy, far: MaintenanceClient, path: Path
) -> None:
    await far.status()
    stall(proxy)
    with pytest.raises(errors.ConnectionTimeoutError):
        await asyncio.wait_for(far.snapshot(path, timeout=1), HANG)
    assert is_as_it_was(path)
    proxy.heal()


async def test_a_cancelled_snapshot_leaves_the_old_file(
    proxy: FaultProxy, far: MaintenanceClient, path: Path
) -> None:
    stall(proxy)
    passed = Passed()
    taking = asyncio.create_task(far.snapshot(path, progress=passed))
    await passed.a_megabyte()
    assert len(os.listdir(path.parent)) == 2
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(taking, HANG)
    assert is_as_it_was(path)


class Writing(io.RawIOBase):
    """A file on a disk that blocks until it is released."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.let_go = threading.Event()
        self.ended = False

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        self.loop.call_soon_threadsafe(self.begun.set)
        assert self.let_go.wait(HANG)
        self.ended = True
        return len(piece)


async def test_a_cancelled_snapshot_waits_for_the_disk(
    maintenance: MaintenanceClient,
) -> None:
    """Otherwise the caller could close a file while a thread writes to it."""
    file = Writing()
    taking = asyncio.create_task(maintenance.snapshot(file))
    await asyncio.wait_for(file.begun.wait(), HANG)
    for _ in range(3):
        taking.cancel()
        await asyncio.sleep(0)
        assert not taking.done()
    file.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(taking, HANG)
    assert file.ended


async def test_closing_the_channel_ends_the_snapshot(
    proxy: FaultProxy, far: MaintenanceClient, path: Path
) -> None:
    stall(proxy)
    passed = Passed()
    taking = asyncio.create_task(far.snapshot(path, progress=passed))
    await passed.a_megabyte()
    await far.channel.close()
    with pytest.raises(errors.ClientClosedError):
        await asyncio.wait_for(taking, HANG)
    assert is_as_it_was(path)


# The bytes -------------------------------------------------------------------------------


class ChangingProxy:
    """A proxy that changes one byte on its way to the client."""

    def __init__(self, upstream: str, find: bytes, replace: bytes) -> None:
        self._host, _, self._port = upstream.rpartition(":")
        self._find, self._replace = find, replace
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed = 0

    async def __aenter__(self) -> ChangingProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        tasks = [
            asyncio.create_task(self._pass(reader, back, change=False)),
            asyncio.create_task(self._pass(there, writer, change=True)),
        ]
        self._tasks.update(tasks)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, change: bool
    ) -> None:
        try:
            while piece := await reader.read(1 << 16):
                if change and self._find in piece:
                    self.changed += 1
                    piece = piece.replace(self._find, self._replace)
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


async def test_a_byte_that_changes_in_transit_is_detected(server: EtcdServer, path: Path) -> None:
    await server.etcdctl("put", "key", stdin="unmistakable")
    async with (
        ChangingProxy(server.endpoint, b"unmistakable", b"unmistekable") as proxy,
        Channel(proxy.endpoint) as channel,
    ):
        with pytest.raises(SnapshotDamagedError, match="was damaged in transit"):
            await MaintenanceClient(channel).snapshot(path)
        assert proxy.changed
        assert is_as_it_was(path)
        with pytest.raises(SnapshotDamagedError):
            await MaintenanceClient(channel).snapshot(io.BytesIO())


DATABASE = b"page" * 1024
WHOLE = DATABASE + hashlib.sha256(DATABASE).digest()


@pytest.mark.parametrize(
    ("blobs", "match"),
    [
        ([], "0 of 0 bytes"),
        ([DATABASE[:2000]], f"2000 of {len(WHOLE)} bytes were received"),
        ([DATABASE], f"{len(DATABASE)} of {len(WHOLE)} bytes were received"),
        ([DATABASE, WHOLE[-32:-1]], f"{len(WHOLE) - 1} of {len(WHOLE)} bytes were received"),
        ([DATABASE, bytes(32)], "should be 0000"),
        ([DATABASE, WHOLE[-32:], b"more"], "was damaged in transit"),
        ([WHOLE[:1000], DATABASE[1001:], WHOLE[-32:]], "ended early"),
    ],
)
async def test_a_stream_that_ends_without_a_snapshot_is_refused(
    path: Path, blobs: list[bytes], match: str
) -> None:
    async def play(request: pb.SnapshotRequest, context: Any) -> AsyncIterator[pb.SnapshotResponse]:
        sent = 0
        for blob in blobs:
            sent += len(blob)
            remaining = max(len(DATABASE) - sent, 0)
            yield pb.SnapshotResponse(blob=blob, remaining_bytes=remaining)

    async with PlayedEtcd({SNAPSHOT: play}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(SnapshotDamagedError, match=match):
            await MaintenanceClient(channel).snapshot(path)
    assert is_as_it_was(path)


async def test_a_snapshot_of_etcd_3_6_has_its_version(path: Path) -> None:
    async def play(request: pb.SnapshotRequest, context: Any) -> AsyncIterator[pb.SnapshotResponse]:
        yield pb.SnapshotResponse(blob=DATABASE, version="3.6.1")
        yield pb.SnapshotResponse(blob=WHOLE[-32:], version="3.6.1")

    async with PlayedEtcd({SNAPSHOT: play}) as server, Channel(server.endpoint) as channel:
        taken = await MaintenanceClient(channel).snapshot(path)
    assert taken.version == "3.6.1"
    assert taken.size == len(WHOLE)
