"""The real etcdctl, as a second client beside the one under test."""

from __future__ import annotations

import asyncio
import shlex
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ._process import GuardedProcess
from .errors import EtcdctlError, EtcdTestingError

__all__ = ["EtcdctlSession", "run_etcdctl"]

_PAUSE = 0.01


async def run_etcdctl(
    program: Path,
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: str | None,
    timeout: float,
) -> str:
    """Run a command of etcdctl to its end; see `EtcdServer.etcdctl`."""
    process = await asyncio.create_subprocess_exec(
        str(program),
        *args,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    given = None if stdin is None else stdin.encode()
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(given), timeout)
    except asyncio.TimeoutError as error:  # another class than TimeoutError before Python 3.11
        raise TimeoutError(f"`{_line(args)}` did not end in {timeout} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise EtcdctlError(
            f"`{_line(args)}` ended with status {process.returncode}: {stderr.decode().strip()}",
            returncode=process.returncode,
            stdout=stdout.decode(),
            stderr=stderr.decode(),
        )
    return stdout.decode()


class EtcdctlSession:
    """An etcdctl that runs as long as its `async with`.

    Like a server it never outlives this process.
    At the end of the block it is stopped by SIGINT, as from a keyboard, so that `etcdctl lock`
    gives its lock up; by SIGKILL after ten seconds.
    """

    def __init__(self, program: Path, args: Sequence[str], *, env: Mapping[str, str]) -> None:
        self._command = [str(program), *args]
        self._env = dict(env)
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None
        self._lines_read = 0

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return self._started.pid if self._started.running else None

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._started.running

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None before that."""
        return None if self._started.running else self._started.returncode

    def output(self) -> str:
        """All that it has printed so far, stdout and stderr together."""
        try:
            return self._output_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    async def line(self, *, timeout: float = 10.0) -> str:
        """Its next whole line of output, without the line break.

        Raises `EtcdctlError` when it ends without one, TimeoutError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            # In this order: what it printed before it ended is not missed.
            running = self.running
            *whole, _ = self.output().split("\n")
            if len(whole) > self._lines_read:
                self._lines_read += 1
                return whole[self._lines_read - 1]
            if not running:
                raise self._ended_error()
            if time.monotonic() > deadline:
                raise TimeoutError(f"`{_line(self._command[1:])}` printed no line in {timeout} s")
            await asyncio.sleep(_PAUSE)

    async def ended(self, *, timeout: float = 10.0) -> int:
        """Wait for it to end by itself; its status. Raises TimeoutError after `timeout` seconds."""
        if not await self._started.ended(timeout):
            raise TimeoutError(f"`{_line(self._command[1:])}` did not end in {timeout} s")
        assert self._started.returncode is not None
        return self._started.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        self._started.signal(number)

    async def __aenter__(self) -> EtcdctlSession:
        if self._process is not None:
            raise EtcdTestingError("this session was used before")
        self._directory = Path(tempfile.mkdtemp(prefix="etcd-testing-"))
        self._process = GuardedProcess(self._directory, self._env)
        self._process.run(self._command, log=self._output_path)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.running:
                self._started.signal(signal.SIGINT)
                await self._started.ended(10.0)
        finally:
            await self._started.close()

    @property
    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise EtcdTestingError("this session was not started; say `async with`")
        return self._process

    @property
    def _output_path(self) -> Path:
        assert self._directory is not None
        return self._directory / "output"

    def _ended_error(self) -> EtcdctlError:
        status, output = self._started.returncode, self.output()
        return EtcdctlError(
            f"`{_line(self._command[1:])}` ended with status {status}: {output.strip()}",
            returncode=-1 if status is None else status,
            stdout=output,
            stderr="",
        )


def _line(args: Sequence[str]) -> str:
    # The words of a command that adds or changes a user hold its password.
    shown = [*args[:2], "…"] if args and args[0] == "user" else args
    return "etcdctl " + shlex.join(shown)
