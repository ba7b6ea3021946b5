"""A process that cannot outlive the test run: its parent is a guard (`_guard.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path

from .errors import EtcdTestingError

__all__ = ["GuardedProcess"]

_GUARD = Path(__file__).with_name("_guard.py")
_PAUSE = 0.005


class GuardedProcess:
    """One program at a time, started and signalled through a guard.

    The guard runs from the construction to `close` and owns `directory`, which it removes when it
    ends, by `close` or because this process died. Nothing here belongs to an event loop: waiting
    is a bounded poll with short pauses.
    """

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        if not sys.executable:
            raise EtcdTestingError("sys.executable is empty: there is no Python to run the guard")
        self.pid: int | None = None
        """The process ID of the program; None while it is not running."""
        self.returncode: int | None = None
        """The exit status of the last program, negative for a signal; None before that."""
        self._stopped = False
        self._directory = directory
        self._starting = False
        self._events = b""
        # Protects the reading of events: two threads may poll one process.
        self._lock = threading.Lock()
        # Not Popen's own pipes: its module keeps a dropped Popen, and its pipes, until the process
        # has ended; but the guard ends only when its pipe is closed.
        commands, self._stdin = _pipe(writable=True)
        events, self._stdout = _pipe(writable=False)
        with commands, events:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(directory), str(os.getpid())],
                stdin=commands,
                stdout=events,
                env=dict(env),
                # A session of its own, so that neither Ctrl-C nor a signal to the process group of
                # the test run ends the guard before it has cleaned up.
                start_new_session=True,
            )

    def run(self, argv: Sequence[str], *, log: Path, cwd: Path | None = None) -> None:
        """Start the program, with its output appended to `log`. Raises if one is running."""
        if self.running:
            raise EtcdTestingError(f"{argv[0]} runs already")
        self._starting = True
        self.returncode = None
        self._send("run", str(log), str(cwd or ""), *argv)

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        self._poll()
        return self._starting or self.pid is not None

    @property
    def stopped(self) -> bool:
        """Whether the program is stopped by SIGSTOP."""
        self._poll()
        return self._stopped

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing if the program has ended."""
        self._send("signal", str(int(number)))

    async def ended(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the program to end; return whether it has."""
        return await self._until(lambda: not self.running, timeout)

    async def freeze(self, frozen: bool, timeout: float = 60.0) -> bool:
        """Send SIGSTOP or SIGCONT and wait for its effect; return whether it had one."""
        self.signal(signal.SIGSTOP if frozen else signal.SIGCONT)
        await self._until(lambda: self.stopped == frozen or not self.running, timeout)
        return self.running and self.stopped == frozen

    @staticmethod
    async def _until(condition: Callable[[], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PAUSE)
        return True

    async def close(self, timeout: float = 60.0) -> None:
        """Kill the program and wait until the guard has cleaned up; idempotent."""
        # First, and without an await: this ends the guard even if close is cancelled.
        with contextlib.suppress(OSError):
            self._stdin.close()
        if not await self._until(lambda: self._popen.poll() is not None, timeout):
            raise EtcdTestingError(f"the guard of {self._directory} does not end")
        self._poll()
        self._stdout.close()
        if self._directory.exists():  # The guard was killed before.
            shutil.rmtree(self._directory, ignore_errors=True)

    def _send(self, *fields: str) -> None:
        frame = b"\0".join(os.fsencode(field) for field in fields)
        try:
            self._stdin.write(len(frame).to_bytes(4, "big") + frame)
        except (OSError, ValueError) as error:
            raise EtcdTestingError(
                f"the guard of {self._directory} has ended (status {self._popen.poll()})"
            ) from error

    def _poll(self) -> None:
        with self._lock:
            while not self._stdout.closed:
                try:
                    piece = os.read(self._stdout.fileno(), 4096)
                except BlockingIOError:
                    break
                if not piece:
                    self._gone(-int(signal.SIGKILL))
                    break
                self._events += piece
                *lines, self._events = self._events.split(b"\n")
                for line in lines:
                    event, number = line.split()
                    if event == b"started":
                        self._starting, self.pid = False, int(number)
                    elif event == b"exited":
                        self._gone(int(number))
                    else:
                        self._stopped = event == b"stopped"

    def _gone(self, status: int) -> None:
        if self._starting or self.pid is not None:
            self._starting = self._stopped = False
            self.pid, self.returncode = None, status


def _pipe(*, writable: bool) -> tuple[FileIO, FileIO]:
    """Return a pipe: the guard's end, and this process's end, which does not block on read."""
    reader, writer = os.pipe()
    if writable:
        return FileIO(reader, "rb"), FileIO(writer, "wb")
    os.set_blocking(reader, False)
    return FileIO(writer, "wb"), FileIO(reader, "rb")
