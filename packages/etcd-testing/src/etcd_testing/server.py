"""One member of etcd: a real process, with a data directory and ports of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from ._environment import etcdctl_environment, program_environment
from ._pages import ask_health, read_metrics
from ._ports import ReservedPort
from ._process import GuardedProcess
from .binaries import binary_version, find_binary
from .errors import EtcdTestingError, StartError
from .etcdctl import EtcdctlSession, run_etcdctl
from .tls import TLSFiles

__all__ = ["EtcdServer"]

_HEALTH_PAUSE = 0.02
_LOG_TAIL_LINES = 25
# What makes a member quick to start and to elect, and cheap to write to. Safety against a loss
# of power is not what a test needs; against a kill of the process the page cache is enough.
_FAST = (
    "--heartbeat-interval=50",
    "--election-timeout=250",
    "--unsafe-no-fsync",
    "--bcrypt-cost=4",
)


class EtcdServer:
    """A member of etcd, started and stopped by `async with`, or by `start` and `close`.

    It listens on free ports of `host`, which stay its own until `close`, so that it comes back
    under the same endpoint after `stop`, `kill` and `restart`. Its files are in a temporary
    directory, which `close` removes; `data_dir` puts the data elsewhere, and then they stay.
    The process ends with this one, even if this one is killed by SIGKILL.

    `client_port` and `peer_port` 0 mean free ones. `tls=True` makes certificates (see
    `TLSFiles.create`), `tls=TLSFiles(…)` takes yours; `client_cert_auth` lets in only
    clients with a certificate of that authority. `auth_token` is etcd's flag of that name;
    "jwt" alone is completed with a fresh secret, HS256 and `auth_token_ttl`. `auth_token_ttl`
    and `quota_backend_bytes` in seconds and bytes; None leaves etcd's defaults. `unix_socket`
    listens on a socket file as well, see `unix_endpoint`. `args` are further flags of etcd,
    which win over those set here; `env` is added to the environment, from which the variables
    that etcd would read as flags (ETCD_…) have been taken. `bin_dir` is as in `find_binary`.

    Nothing is started before `start`, and nothing belongs to an event loop: a server that one
    loop started can be used and closed in another.
    """

    def __init__(
        self,
        *,
        name: str = "etcd",
        host: str = "127.0.0.1",
        client_port: int = 0,
        peer_port: int = 0,
        tls: TLSFiles | bool = False,
        client_cert_auth: bool = False,
        auth_token: str | None = None,
        auth_token_ttl: int | None = None,
        quota_backend_bytes: int | None = None,
        unix_socket: bool = False,
        log_level: str = "info",
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        bin_dir: str | os.PathLike[str] | None = None,
        start_timeout: float = 30.0,
    ) -> None:
        if client_cert_auth and not tls:
            raise ValueError("client_cert_auth needs tls: True or TLSFiles")
        if isinstance(args, str):
            raise TypeError("args should be a sequence of flags, not one str")
        self.name = name
        self.host = host
        self.start_timeout = start_timeout
        self._tls_wanted = tls is True
        self._tls = tls if isinstance(tls, TLSFiles) else None
        self._tls_source: EtcdServer | None = None
        self._client_cert_auth = client_cert_auth
        self._auth_token = auth_token
        self._auth_token_ttl = auth_token_ttl
        self._quota = quota_backend_bytes
        self._unix_socket = unix_socket
        self._log_level = log_level
        self._args = tuple(args)
        self._env = dict(env or {})
        self._given_data_dir = None if data_dir is None else Path(data_dir).absolute()
        self._bin_dir = bin_dir
        self.initial_cluster: str | None = None
        """All members at the first start, "name=peer_url,…"; None for this one alone."""
        self.advertised_peer_address: str | None = None
        """Where other members find this one when it is not `peer_address`: behind a proxy."""
        self.initial_cluster_state: Literal["new", "existing"] = "new"
        """"existing" for a member that joins at its first start."""
        self._ports = tuple(ReservedPort(host, port) for port in (client_port, peer_port, 0))
        # Both are made together: the guard owns the directory from its first moment.
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None
        self._closed = False
        self._root: str | None = None

    # Where it is.

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
    def url(self) -> str:
        """The address for clients with its scheme, "http://…" or "https://…"."""
        return f"{self._scheme}://{self.endpoint}"

    @property
    def peer_address(self) -> str:
        """Where it listens for the other members, "host:port"."""
        return self._address(self._ports[1])

    @property
    def peer_url(self) -> str:
        """The address that the other members know; always plain http."""
        return f"http://{self.advertised_peer_address or self.peer_address}"

    @property
    def metrics_url(self) -> str:
        """The address of /metrics and /health; plain http, whatever clients have to speak."""
        return f"http://{self._address(self._ports[2])}"

    @property
    def unix_endpoint(self) -> str:
        """The address of the socket file, "unix:/…"; only with `unix_socket=True`."""
        if not self._unix_socket:
            raise EtcdTestingError("this server has no socket file; say unix_socket=True")
        return f"unix:{self.directory / _UNIX_NAME}"

    @property
    def directory(self) -> Path:
        """The temporary directory of this server's files; made at first use, gone after `close`."""
        if self._closed:
            raise EtcdTestingError(f"{self.name} is closed")
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="etcd-testing-"))
            self._process = GuardedProcess(self._directory, program_environment(self._env))
        return self._directory

    @property
    def data_dir(self) -> Path:
        """The data directory of etcd."""
        return self._given_data_dir or self.directory / "data"

    @property
    def tls(self) -> TLSFiles | None:
        """The certificates, None for a server without TLS."""
        if self._tls_source is not None:
            return self._tls_source.tls
        if self._tls is None and self._tls_wanted:
            hosts = dict.fromkeys(("localhost", "127.0.0.1", "::1", self.host))
            self._tls = TLSFiles.create(self.directory / "tls", hosts=tuple(hosts))
        return self._tls

    @property
    def binary(self) -> Path:
        """The etcd program. Raises `BinaryNotFoundError` when there is none."""
        return find_binary("etcd", bin_dir=self._bin_dir)

    @property
    def version(self) -> str:
        """The version of the etcd program, like "3.5.16"."""
        return binary_version(self.binary)

    def share_tls(self, other: EtcdServer) -> None:
        """Use the certificates of another server, so that clients can trust one authority."""
        if self.running:
            raise EtcdTestingError(f"{self.name} runs already with certificates of its own")
        self._tls_source = other

    # How it is.

    @property
    def pid(self) -> int | None:
        """The process id of etcd, None while it does not run."""
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is there, be it paused."""
        return self._process is not None and self._process.running

    @property
    def paused(self) -> bool:
        """Whether the process is there and frozen."""
        return self._process is not None and self._process.stopped

    @property
    def returncode(self) -> int | None:
        """How the process last ended, negative for a signal; None before it ever has."""
        return None if self._process is None else self._process.returncode

    def logs(self, last: int | None = None) -> str:
        """Everything that the process has logged, over all its starts; or the last lines of it."""
        try:
            text = self._log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if last is None else "\n".join(text.splitlines()[-last:])

    async def healthy(self, *, timeout: float = 1.0) -> bool:
        """Ask /health once: whether the member serves, and its cluster has a leader.

        An alarm for lack of space does not make it unhealthy here.
        """
        return await ask_health(self.host, self._ports[2].port, timeout=timeout)

    async def metrics(self, *, timeout: float = 5.0) -> dict[str, float]:
        """The page /metrics: the value of every sample, by its name with its labels if any."""
        return await read_metrics(self.host, self._ports[2].port, timeout=timeout)

    async def member_id(self) -> str:
        """The id of this member in hexadecimal, as etcdctl shows it; only while it runs."""
        for name in await self.metrics():
            if name.startswith("etcd_server_id{"):
                return name.split('"')[1]
        raise EtcdTestingError(f"{self.name} does not tell its id")

    # What can be done to it.

    async def start(self, *, wait: bool = True) -> None:
        """Start the process, and unless `wait` is false wait until it is healthy.

        Raises `StartError` with the tail of the log when it ends, or is not healthy after
        `start_timeout` seconds; the process is killed then, as it is on cancellation.
        """
        if self.running:
            raise EtcdTestingError(f"{self.name} runs already")
        command = self._command()
        # A killed server leaves its socket file, and the next would find the address in use.
        (self.directory / _UNIX_NAME).unlink(missing_ok=True)
        cwd = self.directory if self._unix_socket else None
        self._process_or_error().run(command, log=self._log_path, cwd=cwd)
        if not wait:
            return
        try:
            await self.wait_healthy()
        except BaseException:
            await self.kill()
            raise

    async def wait_healthy(self) -> None:
        """Wait for a process that was started, or resumed, to be healthy.

        Raises `StartError` as `start` does, but lets the process be.
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

    async def stop(self, *, timeout: float = 10.0) -> None:
        """End the process with SIGTERM, after `timeout` seconds with SIGKILL; the data stay.

        Returns when it has ended; at once when it does not run.
        """
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # Should it be paused: it could not even hear of SIGTERM.
        if self._process is not None and not await self._process.ended(timeout):
            await self.kill()

    async def kill(self) -> None:
        """End the process with SIGKILL and wait for that; the data stay."""
        self._signal(signal.SIGKILL)
        if self._process is not None and not await self._process.ended(10.0):
            raise EtcdTestingError(f"{self.name} (pid {self.pid}) survives SIGKILL")

    async def pause(self) -> None:
        """Freeze the process with SIGSTOP: connections stay, nothing is answered.

        Returns when it is frozen. Raises `EtcdTestingError` when it does not run.
        """
        if not self.running or not await self._process_or_error().freeze(True):
            raise EtcdTestingError(f"{self.name} does not run and cannot be paused")

    async def resume(self) -> None:
        """Let a paused process go on, by SIGCONT. Raises as `pause` does."""
        if not self.paused:
            return
        if not await self._process_or_error().freeze(False):
            raise EtcdTestingError(f"{self.name} does not run and cannot be resumed")

    async def restart(self, *, wait: bool = True) -> None:
        """Stop the process if it runs, and start it with the same ports and data."""
        await self.stop()
        await self.start(wait=wait)

    async def etcdctl(
        self, *args: str, user: str | None = None, stdin: str | None = None, timeout: float = 30.0
    ) -> str:
        """Run the real etcdctl against this server; what it prints.

        `user` is "name:password", None for the root that `enable_auth` made, if it did. `stdin`
        is given to it to read. Raises `EtcdctlError` when it fails, TimeoutError after `timeout`
        seconds; it is killed then, as it is on cancellation.
        """
        program, env = self._etcdctl(args, user)
        return await run_etcdctl(program, args, env=env, stdin=stdin, timeout=timeout)

    def etcdctl_session(self, *args: str, user: str | None = None) -> EtcdctlSession:
        """The real etcdctl for a command that stays, like lock, elect and watch.

        `async with server.etcdctl_session("lock", "name") as session:`, see `EtcdctlSession`.
        """
        program, env = self._etcdctl(args, user)
        return EtcdctlSession(program, args, env=env)

    async def enable_auth(self, root_password: str = "root") -> None:
        """Make the user root and turn authentication on; `etcdctl` is root from then on."""
        await self.etcdctl("user", "add", f"root:{root_password}")
        await self.etcdctl("user", "grant-role", "root", "root")
        await self.etcdctl("auth", "enable")
        self._root = f"root:{root_password}"

    async def close(self) -> None:
        """Kill the process and remove the temporary directory; idempotent, and final.

        If it is cancelled all that is still done, and a second `close` waits for it.
        A `data_dir` of yours stays, and its process is stopped by SIGTERM first.
        """
        if self._given_data_dir is not None and not self._closed:
            await self.stop()
        self._closed = True
        for port in self._ports:
            port.release()
        if self._process is not None:
            await self._process.close()

    async def __aenter__(self) -> EtcdServer:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"pid={self.pid}"
        return f"<EtcdServer {self.name} {self.url} {state}>"

    # How it is run.

    @property
    def _scheme(self) -> str:
        tls = self._tls_wanted or self._tls is not None or self._tls_source is not None
        return "https" if tls else "http"

    def _address(self, port: ReservedPort) -> str:
        return f"[{self.host}]:{port.port}" if ":" in self.host else f"{self.host}:{port.port}"

    @property
    def _log_path(self) -> Path:
        return self.directory / "etcd.log"

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

    def _command(self) -> list[str]:
        binary = self.binary
        client_urls = self.url
        if self._unix_socket:
            client_urls += f",{'unixs' if self._scheme == 'https' else 'unix'}://{_UNIX_NAME}"
        flags: dict[str, str | int | Path | None] = {
            "name": self.name,
            "data-dir": self.data_dir,
            "listen-client-urls": client_urls,
            "advertise-client-urls": self.url,
            "listen-peer-urls": f"http://{self.peer_address}",
            "initial-advertise-peer-urls": self.peer_url,
            "listen-metrics-urls": self.metrics_url,
            "initial-cluster": self.initial_cluster or f"{self.name}={self.peer_url}",
            "initial-cluster-state": self.initial_cluster_state,
            "logger": "zap",
            "log-outputs": "stderr",
            "log-level": self._log_level,
            "auth-token": self._auth_token_flag(),
            "auth-token-ttl": self._auth_token_ttl,
            "quota-backend-bytes": self._quota,
        }
        if self.tls is not None:
            flags["cert-file"] = self.tls.server_cert
            flags["key-file"] = self.tls.server_key
            if self._client_cert_auth:
                flags["trusted-ca-file"] = self.tls.ca
        command = [str(binary), *_FAST]
        command += [f"--{flag}={value}" for flag, value in flags.items() if value is not None]
        if self._client_cert_auth:
            command.append("--client-cert-auth")
        return [*command, *self._args]

    def _etcdctl(self, args: Sequence[str], user: str | None) -> tuple[Path, dict[str, str]]:
        program = find_binary("etcdctl", bin_dir=self._bin_dir)
        settings = {"endpoints": self.url, "user": user or self._root}
        if self.tls is not None:
            settings["cacert"] = str(self.tls.ca)
            if self.tls.client_cert is not None and self._client_cert_auth:
                settings["cert"] = str(self.tls.client_cert)
                settings["key"] = str(self.tls.client_key)
        return program, etcdctl_environment(program_environment(self._env), settings, args)

    def _auth_token_flag(self) -> str | None:
        if self._auth_token != "jwt":
            return self._auth_token
        secret = self.directory / "jwt-secret"
        if not secret.exists():
            secret.write_text(secrets.token_hex(32))
        ttl = 300 if self._auth_token_ttl is None else self._auth_token_ttl
        return f"jwt,priv-key={secret},sign-method=HS256,ttl={ttl}s"


# etcd takes only "host:port" after unix://, and makes a file of that name where it runs.
_UNIX_NAME = "client.sock:0"
