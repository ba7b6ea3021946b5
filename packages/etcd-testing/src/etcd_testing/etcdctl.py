"""Runs the real etcdctl, as a second client beside the one under test."""

from __future__ import annotations

import asyncio
import shlex
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ._environment import ETCDCTL_FLAGS
from ._finish import finish, limited
from ._non_copyable import NonCopyable
from ._process import GuardedProcess
from .errors import EtcdctlError, EtcdTestingError

__all__ = ["EtcdctlSession", "run_etcdctl"]

_PAUSE = 0.01


async def run_etcdctl(
    program: Path,
    args: Sequence[str],
    *,
    flags: Sequence[str] = (),
    env: Mapping[str, str],
    stdin: str | None,
    timeout: float,
) -> str:
    """Run a command of etcdctl to its end; see `EtcdServer.etcdctl`.

    `flags` come before `args`, and are not shown in errors.
    """
    try:
        return await limited(_run(program, flags, args, env, stdin), timeout)
    except TimeoutError as error:
        raise TimeoutError(f"`{_line(args)}` did not end within {timeout} s") from error


async def _run(
    program: Path,
    flags: Sequence[str],
    args: Sequence[str],
    env: Mapping[str, str],
    stdin: str | None,
) -> str:
    process = await asyncio.create_subprocess_exec(
        str(program),
        *flags,
        *args,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    given = None if stdin is None else stdin.encode()
    try:
        stdout, stderr = await process.communicate(given)
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


class EtcdctlSession(NonCopyable):
    """An etcdctl that runs during its `async with`; it never outlives this process.

    At the end of the block it is stopped by SIGINT, so that `etcdctl lock` releases its lock;
    after sixty seconds by SIGKILL.
    """

    def __init__(self, program: Path, args: Sequence[str], *, env: Mapping[str, str]) -> None:
        self._args = tuple(args)
        self._command = [str(program), *ETCDCTL_FLAGS, *args]
        self._env = dict(env)
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None
        self._lines_read = 0

    def __repr__(self) -> str:
        # Without the command, which may have a password.
        return f"<EtcdctlSession {'running' if self._process and self.running else 'not running'}>"

    @property
    def pid(self) -> int | None:
        """The process ID; None if it is not running."""
        return self._started.pid if self._started.running else None

    @property
    def running(self) -> bool:
        """Whether it is running."""
        return self._started.running

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None before that."""
        return None if self._started.running else self._started.returncode

    def output(self) -> str:
        """Return its output so far, stdout and stderr together."""
        try:
            return self._output_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    async def line(self, *, timeout: float = 60.0) -> str:
        """Wait for its next whole line of output; return it without the line break.

        Raises `EtcdctlError` if it ends without one, TimeoutError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            # In this order, so that output before its end is not missed.
            running = self.running
            *whole, _ = self.output().split("\n")
            if len(whole) > self._lines_read:
                self._lines_read += 1
                return whole[self._lines_read - 1]
            if not running:
                raise self._ended_error()
            if time.monotonic() > deadline:
                raise TimeoutError(f"`{_line(self._args)}` printed no line within {timeout} s")
            await asyncio.sleep(_PAUSE)

    async def ended(self, *, timeout: float = 60.0) -> int:
        """Wait for its end; return the exit status. Raises TimeoutError after `timeout` s."""
        if not await self._started.ended(timeout):
            raise TimeoutError(f"`{_line(self._args)}` did not end within {timeout} s")
        assert self._started.returncode is not None
        return self._started.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing if it has ended."""
        self._started.signal(number)

    async def __aenter__(self) -> EtcdctlSession:
        if self._process is not None:
            raise EtcdTestingError("this session was used before")
        self._directory = Path(tempfile.mkdtemp(prefix="etcd-testing-"))
        self._process = GuardedProcess(self._directory, self._env)
        self._process.run(self._command, log=self._output_path)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await finish(self._leave(), error)

    async def _leave(self) -> None:
        try:
            if self.running:
                self._started.signal(signal.SIGINT)
                await self._started.ended(60.0)
        finally:
            await self._started.close()

    @property
    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise EtcdTestingError("this session was not started; use `async with`")
        return self._process

    @property
    def _output_path(self) -> Path:
        assert self._directory is not None
        return self._directory / "output"

    def _ended_error(self) -> EtcdctlError:
        status, output = self._started.returncode, self.output()
        return EtcdctlError(
            f"`{_line(self._args)}` ended with status {status}: {output.strip()}",
            returncode=-1 if status is None else status,
            stdout=output,
            stderr="",
        )


def _line(args: Sequence[str]) -> str:
    # The arguments of a command that adds or changes a user contain its password.
    shown = [*args[:2], "…"] if args and args[0] == "user" else args
    return "etcdctl " + shlex.join(shown)
