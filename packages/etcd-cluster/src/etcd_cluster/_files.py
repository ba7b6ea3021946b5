"""The destinations of a snapshot: a path, or a file object of the caller.

Files are written in a thread, because disks can be slow. A thread cannot be stopped, so a
cancellation waits for the block that it is writing.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import errno
import inspect
import io
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, Protocol, TypeVar

from etcd_channel.tasks import finish

__all__ = ["Destination", "SnapshotTarget", "destination"]

T = TypeVar("T")

# The size of a block: little memory, and little overhead for passing it to a thread.
_BLOCK_SIZE: Final = 1 << 20


class BinaryWriter(Protocol):
    """The part of a file object that a snapshot needs; `write` may return an awaitable."""

    def write(self, data: bytes, /) -> Any: ...


SnapshotTarget = str | os.PathLike[str] | BinaryWriter
"""The destinations that a snapshot can be written to."""


class Destination(Protocol):
    """Receives a snapshot.

    It is entered before the download, and finished when the snapshot is complete. Without
    `finish`, leaving it discards the snapshot.
    """

    async def __aenter__(self) -> Destination: ...

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...

    async def write(self, blob: bytes) -> None:
        """Accept the next bytes, which may be written later."""

    async def finish(self) -> None:
        """Write the rest, and return when everything is written."""


def destination(file_obj: object) -> Destination:
    """Return the destination for `file_obj`; raise `TypeError` or `ValueError` if it is invalid."""
    if isinstance(file_obj, (str, os.PathLike)):
        path = os.fspath(file_obj)
        if not isinstance(path, str):
            raise TypeError(f"file_obj must be a path of str, not of {type(path).__name__}")
        if not path:
            raise ValueError("file_obj must not be an empty path")
        return _PathDestination(path)
    if isinstance(file_obj, io.TextIOBase):
        raise TypeError("file_obj must be a binary file: open it with mode 'wb', not 'w'")
    if isinstance(file_obj, io.IOBase):
        if not file_obj.writable():
            raise ValueError("file_obj must be open for writing")
        return _FileDestination(file_obj)
    write = getattr(file_obj, "write", None)
    if not callable(write):
        raise TypeError(
            "file_obj must be a path or a file object with a write method,"
            f" not {type(file_obj).__name__}"
        )
    return _WriterDestination(write, getattr(file_obj, "flush", None))


class _WriterDestination:
    """An object with a method `write`, and perhaps `flush`, which may return an awaitable.

    They are called in the event loop, `write` with each blob as it was received.
    """

    def __init__(self, write: Callable[[bytes], object], flush: object) -> None:
        self._write = write
        self._flush = flush

    async def __aenter__(self) -> _WriterDestination:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def write(self, blob: bytes) -> None:
        while blob:
            written = self._write(blob)
            if inspect.isawaitable(written):
                written = await written
            blob = _rest(blob, written)

    async def finish(self) -> None:
        # Wrappers such as tempfile.NamedTemporaryFile have a buffer, and are no io.IOBase.
        if callable(self._flush):
            flushed = self._flush()
            if inspect.isawaitable(flushed):
                await flushed


class _ThreadedDestination(abc.ABC):
    """Collects bytes into blocks, and does all blocking work in one thread."""

    def __init__(self) -> None:
        self._blobs: list[bytes] = []
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="etcd-snapshot")

    async def write(self, blob: bytes) -> None:
        self._blobs.append(blob)
        self._waiting += len(blob)
        if self._waiting >= _BLOCK_SIZE:
            await self._write_out()

    async def _write_out(self) -> None:
        block = b"".join(self._blobs)
        self._blobs.clear()
        self._waiting = 0
        await self._do(self._write_block, block)

    @abc.abstractmethod
    def _write_block(self, block: bytes) -> None:
        """Write the whole block; called in the thread."""

    async def _do(
        self, work: Callable[..., T], *args: object, after: BaseException | None = None
    ) -> T:
        """Do blocking work in the thread, and wait for its end even when cancelled."""
        return await finish(
            asyncio.get_running_loop().run_in_executor(self._thread, work, *args), after
        )


class _FileDestination(_ThreadedDestination):
    """A binary file that the caller opened and closes."""

    def __init__(self, file: io.IOBase) -> None:
        super().__init__()
        self._file = file
        self._write_some: Callable[[bytes], object] = file.write

    async def __aenter__(self) -> _FileDestination:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._thread.shutdown()

    def _write_block(self, block: bytes) -> None:
        while block:
            written = self._write_some(block)
            if written is None and isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(
                    errno.EAGAIN, "file_obj is non-blocking, and accepted no bytes"
                )
            block = _rest(block, written)

    async def finish(self) -> None:
        await self._write_out()
        await self._do(self._file.flush)


class _PathDestination(_ThreadedDestination):
    """A path: written as a temporary file beside it, and renamed when it is complete."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._partial = ""
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> _PathDestination:
        try:
            await self._do(self._open)
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._leave(error)

    def _open(self) -> None:
        # Like open(), follow a link: the link is kept, and its target is replaced.
        path = self._path = os.path.realpath(self._path)
        with _errors_naming(path):
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, "the snapshot needs a name in this folder")
            if os.path.exists(path) and not os.path.isfile(path):
                raise OSError(errno.EINVAL, "a snapshot replaces regular files only, not")
            folder = os.path.dirname(path)
            partial = os.path.join(folder, f".etcd-snapshot-{secrets.token_hex(8)}.partial")
            # It contains all data and the hashes of passwords: only the owner may read it.
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._partial = partial
        self._file = os.fdopen(file, "wb", buffering=0)

    def _write_block(self, block: bytes) -> None:
        assert self._file is not None
        view = memoryview(block)
        with _errors_naming(self._path):
            while view:
                view = view[self._file.write(view) :]

    async def finish(self) -> None:
        await self._write_out()
        await self._do(self._rename)

    def _rename(self) -> None:
        assert self._file is not None
        with _errors_naming(self._path):
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._partial, self._path)
            self._partial = ""
            _sync_folder(os.path.dirname(self._path))

    async def _leave(self, after: BaseException | None) -> None:
        try:
            await self._do(self._remove, after=after)
        finally:
            self._thread.shutdown()

    def _remove(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            if self._partial:
                # Another program may have removed it; that must not hide why it is removed here.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._partial)


@contextlib.contextmanager
def _errors_naming(path: str) -> Iterator[None]:
    """Make errors name the caller's path, not the temporary file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _sync_folder(folder: str) -> None:
    """Sync the new name to the disk, if the file system supports it; the file is synced already."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # the folder may be writable but not readable
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)


def _rest(blob: bytes, written: object) -> bytes:
    """Return the bytes that are not written yet, if `written` is a number of bytes."""
    if not isinstance(written, int) or isinstance(written, bool):
        return b""
    if written <= 0 < len(blob):
        # Retrying would never end.
        raise OSError(errno.EIO, f"file_obj wrote {written} of {len(blob)} bytes")
    return blob[written:]
