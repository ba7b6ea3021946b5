"""A process of etcd with its files and ports."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from ._environment import program_environment
from ._finish import finish
from ._pages import ask_health
from ._ports import ReservedPort
from ._process import GuardedProcess
from ._running import Running
from .binaries import binary_version, find_binary
from .errors import EtcdTestingError, StartError

__all__ = ["Program"]


_HEALTH_PAUSE = 0.02
_LOG_TAIL_LINES = 25


class Program(Running):
    """The base of a member and of a grpc-proxy.

    The last of its ports serves /metrics and /health.
    """

    def __init__(
        self,
        *,
        name: str,
        host: str,
        ports: Sequence[int],
        env: Mapping[str, str] | None,
        bin_dir: str | os.PathLike[str] | None,
        start_timeout: float,
    ) -> None:
        self.name = name
        self.host = host
        self.start_timeout = start_timeout
        self._env = dict(env or {})
        self._bin_dir = bin_dir
        self._ports = tuple(ReservedPort(host, port) for port in ports)
        # Made together: the guard owns the directory from the start.
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None
        self._closed = False

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the program and its arguments."""

    def _before_start(self) -> Path | None:
        """Prepare a start; return the working directory, None for that of this process."""
        return None

    # Address.

    @property
    def client_port(self) -> int:
        """The port for clients."""
        return self._ports[0].port

    @property
    def endpoint(self) -> str:
        """The address for clients as "host:port", "[host]:port" for IPv6."""
        return self._address(self._ports[0])

    @property
    def endpoints(self) -> list[str]:
        """The one `endpoint`, as a list."""
        return [self.endpoint]

    @property
    def metrics_url(self) -> str:
        """The address of /metrics and /health; plain http, also if clients need TLS."""
        return f"http://{self._address(self._ports[-1])}"

    @property
    def directory(self) -> Path:
        """The temporary directory of its files; created at first use, removed by `close`."""
        if self._closed:
            raise EtcdTestingError(f"{self.name} is closed")
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="etcd-testing-"))
            self._process = GuardedProcess(self._directory, program_environment(self._env))
        return self._directory

    @property
    def binary(self) -> Path:
        """The path of the etcd program. Raises `BinaryNotFoundError` if there is none."""
        return find_binary("etcd", bin_dir=self._bin_dir)

    @property
    def version(self) -> str:
        """The version of the etcd program, for example "3.5.16"."""
        return binary_version(self.binary)

    # Status.

    @property
    def pid(self) -> int | None:
        """The process ID of etcd; None while it is not running."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is running or paused."""
        return self._process is not None and self._process.running

    @property
    def paused(self) -> bool:
        """Whether the process is paused."""
        return self._process is not None and self._process.stopped

    @property
    def returncode(self) -> int | None:
        """The last exit status of the process, negative for a signal; None before the first."""
        return None if self._process is None else self._process.returncode

    def logs(self, last: int | None = None) -> str:
        """Return the log of the process over all its starts, or its `last` lines."""
        try:
            text = (self.directory / "etcd.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if last is None else "\n".join(text.splitlines()[-last:])

    async def healthy(self, *, timeout: float = 1.0) -> bool:
        """Request /health once; return whether the member serves and has a leader.

        A NOSPACE alarm does not make it unhealthy here.
        """
        return await ask_health(self.host, self._ports[-1].port, timeout=timeout)

    # Lifecycle.

    async def start(self, *, wait: bool = True) -> None:
        """Start the process and, unless `wait` is false, wait until it is healthy.

        Raises `StartError` with the end of the log if it ends, or is not healthy within
        `start_timeout` seconds. On an error, and on cancellation, the process is killed.
        """
        if self.running:
            raise EtcdTestingError(f"{self.name} runs already")
        cwd = self._before_start()
        command = self._command()
        log = self.directory / "etcd.log"
        self._process_or_error().run(command, log=log, cwd=cwd)
        if not wait:
            return
        try:
            await self.wait_healthy()
        except BaseException as error:
            await finish(self.kill(), error)
            raise

    async def wait_healthy(self) -> None:
        """Wait until a process that was started or resumed is healthy.

        Raises `StartError` like `start`, but does not kill the process.
        """
        deadline = time.monotonic() + self.start_timeout
        while not await self.healthy():
            if not self.running:
                raise self._start_error(
                    "was not started"
                    if self.returncode is None
                    else f"ended with status {self.returncode}"
                )
            if time.monotonic() > deadline:
                raise self._start_error(f"was not healthy after {self.start_timeout} s")
            await asyncio.sleep(_HEALTH_PAUSE)

    async def stop(self, *, timeout: float = 60.0) -> None:
        """End the process with SIGTERM, after `timeout` seconds with SIGKILL; keep the data.

        Returns when it has ended, at once if it is not running. A cancellation is raised after
        that.
        """
        await finish(self._stop(timeout))

    async def _stop(self, timeout: float) -> None:
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # A paused process does not handle SIGTERM.
        if self._process is not None and not await self._process.ended(timeout):
            await self.kill()

    async def kill(self) -> None:
        """End the process with SIGKILL and wait for its end; keep the data."""
        self._signal(signal.SIGKILL)
        if self._process is not None and not await self._process.ended(60.0):
            raise EtcdTestingError(f"{self.name} (pid {self.pid}) has not ended after SIGKILL")

    async def pause(self) -> None:
        """Pause the process with SIGSTOP: connections stay open, nothing is answered.

        Returns when it is paused. Raises `EtcdTestingError` if it is not running.
        """
        if not self.running or not await self._process_or_error().freeze(True):
            raise EtcdTestingError(f"{self.name} does not run and cannot be paused")

    async def resume(self) -> None:
        """Resume a paused process with SIGCONT. Raises like `pause`."""
        if not self.paused:
            return
        if not await self._process_or_error().freeze(False):
            raise EtcdTestingError(f"{self.name} does not run and cannot be resumed")

    async def restart(self, *, wait: bool = True) -> None:
        """Stop the process if it is running, and start it with the same ports and data."""
        await self.stop()
        await self.start(wait=wait)

    async def close(self) -> None:
        """Kill the process and remove the temporary directory; idempotent and final.

        A cancellation is raised after that.
        """
        await finish(self._close())

    async def _close(self) -> None:
        self._closed = True
        for port in self._ports:
            port.release()
        if self._process is not None:
            await self._process.close()

    # Implementation.

    def _address(self, port: ReservedPort) -> str:
        return f"[{self.host}]:{port.port}" if ":" in self.host else f"{self.host}:{port.port}"

    def _process_or_error(self) -> GuardedProcess:
        if self._process is None:
            raise EtcdTestingError(f"{self.name} was never started")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.running:
            self._process.signal(number)

    def _start_error(self, what: str) -> StartError:
        return StartError(
            f"etcd {self.version} ({self.name}, {self.binary}) {what}; the end of its log:\n"
            + (self.logs(_LOG_TAIL_LINES) or "(empty)")
        )
