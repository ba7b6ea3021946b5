"""A program that cannot outlive the test run: it is run by a guard (`_guard.py`)."""

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

    The guard lives from the construction to `close` and owns `directory`: it removes it when it
    ends, whether by `close` or because this process died. Nothing here belongs to an event loop;
    waiting is a bounded poll with short pauses, for a process has nothing to await.
    """

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        if not sys.executable:
            raise EtcdTestingError("sys.executable is empty: there is no Python to run the guard")
        self.pid: int | None = None
        """The program's process id, None while it does not run."""
        self.returncode: int | None = None
        """How the last program ended, negative for a signal; None before that."""
        self._stopped = False
        self._directory = directory
        self._starting = False
        self._events = b""
        # Guards reading of events: two threads may poll one process.
        self._lock = threading.Lock()
        # Not Popen's own pipes: a Popen that is dropped is kept by its module until its process
        # has ended, and its pipes with it, while it is the end of the pipe that ends the guard.
        commands, self._stdin = _pipe(writable=True)
        events, self._stdout = _pipe(writable=False)
        with commands, events:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(directory), str(os.getpid())],
                stdin=commands,
                stdout=events,
                env=dict(env),
                # A session of its own: neither Ctrl-C nor a signal to the test run's whole
                # process group may end the guard before its work is done.
                start_new_session=True,
            )

    def run(self, argv: Sequence[str], *, log: Path, cwd: Path | None = None) -> None:
        """Start the program, its output appended to `log`; none may run yet."""
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
        """Whether the program is there, and frozen by SIGSTOP."""
        self._poll()
        return self._stopped

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the program has ended."""
        self._send("signal", str(int(number)))

    async def ended(self, timeout: float) -> bool:
        """Wait for the program to end, for `timeout` seconds at most; say whether it has."""
        return await self._until(lambda: not self.running, timeout)

    async def freeze(self, frozen: bool, timeout: float = 10.0) -> bool:
        """Send SIGSTOP or SIGCONT and wait for the effect; whether the program is so now."""
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

    async def close(self, timeout: float = 20.0) -> None:
        """Kill the program and wait until the guard has cleaned up; idempotent."""
        # First of all, and without an await: even a cancelled close has let the guard go.
        with contextlib.suppress(OSError):
            self._stdin.close()
        if not await self._until(lambda: self._popen.poll() is not None, timeout):
            raise EtcdTestingError(f"the guard of {self._directory} does not end")
        self._poll()
        self._stdout.close()
        if self._directory.exists():  # The guard was killed before it could.
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
    """A pipe: the guard's end, and that of this process, which never waits when it reads."""
    reader, writer = os.pipe()
    if writable:
        return FileIO(reader, "rb"), FileIO(writer, "wb")
    os.set_blocking(reader, False)
    return FileIO(writer, "wb"), FileIO(reader, "rb")
