"""Where a snapshot is written to: a path, or a file object of the caller's.

All writing to files happens in a thread of its own, for a disk may take its time. A
thread cannot be stopped: who is cancelled while it writes waits for the piece at hand.
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
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, TypeVar

__all__ = ["Destination", "SnapshotTarget", "destination"]

T = TypeVar("T")

# Small enough to be nothing in memory, large enough that the way to a thread is nothing.
_PIECE: Final = 1 << 20


class BinaryWriter(Protocol):
    """A file object, as far as a snapshot needs one; `write` may return an awaitable."""

    def write(self, data: bytes, /) -> Any: ...


SnapshotTarget = str | os.PathLike[str] | BinaryWriter
"""Where a snapshot can be written to."""


class Destination(Protocol):
    """Takes a snapshot: entered before it is asked for, finished when it is whole.

    What is left without having been finished was not wanted.
    """

    async def __aenter__(self) -> Destination: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def write(self, blob: bytes) -> None:
        """Take the next bytes; they may be written later."""

    async def finish(self) -> None:
        """Write what is left; return when all of it is there."""


def destination(file_obj: object) -> Destination:
    """Return what writes to `file_obj`, if it is something to write to."""
    if isinstance(file_obj, (str, os.PathLike)):
        path = os.fspath(file_obj)
        if not isinstance(path, str):
            raise TypeError(f"file_obj must be a path of str, not of {type(path).__name__}")
        if not path:
            raise ValueError("file_obj must not be an empty path")
        return _Path(path)
    if isinstance(file_obj, io.TextIOBase):
        raise TypeError("file_obj must be a binary file: open it with mode 'wb', not 'w'")
    if isinstance(file_obj, io.IOBase):
        if not file_obj.writable():
            raise ValueError("file_obj must be open for writing")
        return _File(file_obj)
    write = getattr(file_obj, "write", None)
    if not callable(write):
        raise TypeError(
            "file_obj must be a path or a file object with a write method,"
            f" not {type(file_obj).__name__}"
        )
    return _Object(write)


class _Object:
    """An object with a method `write`, which may return an awaitable; called in the loop.

    Who knows what it does: it gets each blob as it came.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    async def __aenter__(self) -> _Object:
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
        pass


class _Threaded(abc.ABC):
    """Collects bytes to pieces, and does all blocking work in one thread."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="etcd-snapshot")

    async def write(self, blob: bytes) -> None:
        self._pieces.append(blob)
        self._waiting += len(blob)
        if self._waiting >= _PIECE:
            await self._write_out()

    async def _write_out(self) -> None:
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        await self._do(self._write_piece, piece)

    @abc.abstractmethod
    def _write_piece(self, piece: bytes) -> None:
        """Write all of it; in the thread."""

    async def _do(self, work: Callable[..., T], *args: object) -> T:
        """Do blocking work in the thread; when cancelled, wait for its end all the same."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await _ended(running)
            raise


async def _ended(running: asyncio.Future[T]) -> None:
    """Wait for work that the thread still has in hand, even when cancelled once more."""
    while not running.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([running])
    running.exception()


class _File(_Threaded):
    """A binary file that the caller opened, and will close."""

    def __init__(self, file: io.IOBase) -> None:
        super().__init__()
        self._file = file
        self._write_some: Callable[[bytes], object] = file.write

    async def __aenter__(self) -> _File:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._thread.shutdown()

    def _write_piece(self, piece: bytes) -> None:
        while piece:
            written = self._write_some(piece)
            if written is None and isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, "file_obj does not block, and took nothing")
            piece = _rest(piece, written)

    async def finish(self) -> None:
        await self._write_out()
        await self._do(self._file.flush)


class _Path(_Threaded):
    """A file that is made beside its place, and takes it when it is whole."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._partial = ""
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> _Path:
        try:
            await self._do(self._open)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._leave()

    def _open(self) -> None:
        # As with open(), a link is followed: it stays, and what it points to is replaced.
        path = self._path = os.path.realpath(self._path)
        with _naming(path):
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, "the snapshot needs a name in this folder")
            if os.path.exists(path) and not os.path.isfile(path):
                raise OSError(errno.EINVAL, "a snapshot replaces regular files only, not")
            folder = os.path.dirname(path)
            partial = os.path.join(folder, f".etcd-snapshot-{secrets.token_hex(8)}.partial")
            # It holds everything, hashes of passwords too, and is nobody else's to read.
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._partial = partial
        self._file = os.fdopen(file, "wb", buffering=0)

    def _write_piece(self, piece: bytes) -> None:
        assert self._file is not None
        view = memoryview(piece)
        with _naming(self._path):
            while view:
                view = view[self._file.write(view) :]

    async def finish(self) -> None:
        await self._write_out()
        await self._do(self._take_place)

    def _take_place(self) -> None:
        assert self._file is not None
        with _naming(self._path):
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._partial, self._path)
            self._partial = ""
            _sync_folder(os.path.dirname(self._path))

    async def _leave(self) -> None:
        try:
            await self._do(self._remove)
        finally:
            self._thread.shutdown()

    def _remove(self) -> None:
        if self._partial:
            os.unlink(self._partial)
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let an error name the file that the caller knows, not the one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _sync_folder(folder: str) -> None:
    """Bring a new name to the disk, where the file system can; the file itself is there."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # One may write in a folder that one may not read.
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)


def _rest(blob: bytes, written: object) -> bytes:
    """What is still to write, for a file object that says how much it wrote."""
    if not isinstance(written, int) or isinstance(written, bool):
        return b""
    if written <= 0 < len(blob):
        # To try again would be to try for ever.
        raise OSError(errno.EIO, f"file_obj wrote {written} of {len(blob)} bytes")
    return blob[written:]
