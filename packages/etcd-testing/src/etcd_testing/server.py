"""One member of etcd: a real process with a data directory and ports of its own."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ._environment import ETCDCTL_FLAGS, etcdctl_environment, program_environment
from ._pages import read_metrics
from ._program import Program
from .binaries import find_binary
from .errors import BinaryNotFoundError, EtcdTestingError
from .etcdctl import EtcdctlSession, run_etcdctl
from .tls import TLSFiles

__all__ = ["EtcdServer"]

# Flags for fast starts, elections and writes. Tests do not need safety against a power failure; if
# the process is killed, the page cache keeps the data.
_FAST = (
    "--heartbeat-interval=50",
    "--election-timeout=250",
    "--unsafe-no-fsync",
    "--bcrypt-cost=4",
)


class EtcdServer(Program):
    """A member of etcd, started and stopped by `async with`, or by `start` and `close`.

    It listens on free ports of `host`, which stay reserved until `close`, so that it has the
    same endpoint after `stop`, `kill` and `restart`. Its files are in a temporary directory,
    which `close` removes; a `data_dir` is kept. The process ends with this one, even if this one
    is killed by SIGKILL.

    `client_port` and `peer_port` 0 choose free ports. `tls=True` creates certificates (see
    `TLSFiles.create`), `tls=TLSFiles(…)` uses yours; with `client_cert_auth` clients need a
    certificate of that authority. `auth_token` is etcd's flag; "jwt" alone is completed with a
    new secret, HS256 and `auth_token_ttl`. `auth_token_ttl` is in seconds, `quota_backend_bytes`
    in bytes; None means etcd's default. With `unix_socket` it also listens on a socket file, see
    `unix_endpoint`. `args` are further flags of etcd, which override those set here. `env` is
    added to the environment, without the variables that etcd reads as flags (ETCD_…). `bin_dir`
    is as for `find_binary`.

    Nothing starts before `start`, and nothing belongs to an event loop: a server that one loop
    started can be used and closed in another.
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
        super().__init__(
            name=name,
            host=host,
            ports=(client_port, peer_port, 0),
            env=env,
            bin_dir=bin_dir,
            start_timeout=start_timeout,
        )
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
        self._given_data_dir = None if data_dir is None else Path(data_dir).absolute()
        self.initial_cluster: str | None = None
        """All members at the first start, "name=peer_url,…"; None for a single member."""
        self.advertised_peer_address: str | None = None
        """The address for the other members if it is not `peer_address`: that of a proxy."""
        self.initial_cluster_state: Literal["new", "existing"] = "new"
        """"existing" for a member that joins at its first start."""
        self._root: str | None = None

    # Address.

    @property
    def url(self) -> str:
        """The address for clients with its scheme, "http://…" or "https://…"."""
        return f"{self._scheme}://{self.endpoint}"

    @property
    def peer_address(self) -> str:
        """The address that it listens on for the other members, "host:port"."""
        return self._address(self._ports[1])

    @property
    def peer_url(self) -> str:
        """The advertised address for the other members; always plain http."""
        return f"http://{self.advertised_peer_address or self.peer_address}"

    @property
    def unix_endpoint(self) -> str:
        """The address of the socket file, "unix:/…"; only with `unix_socket=True`."""
        if not self._unix_socket:
            raise EtcdTestingError("this server has no socket file; use unix_socket=True")
        return f"unix:{self.directory / _UNIX_NAME}"

    @property
    def data_dir(self) -> Path:
        """The data directory of etcd."""
        return self._given_data_dir or self.directory / "data"

    @property
    def keeps_writes_when_killed(self) -> bool:
        """Whether `kill` loses no acknowledged write, also if this is the only member.

        A single member of etcd before 3.4.21, or of 3.5 before 3.5.5, may lose the last ones (etcd
        issues 13766 and 14370). `stop` loses none.
        """
        numbers = tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])
        return numbers >= (3, 5, 5) or (3, 4, 21) <= numbers < (3, 5)

    @property
    def tls(self) -> TLSFiles | None:
        """The certificates; None without TLS."""
        if self._tls_source is not None:
            return self._tls_source.tls
        if self._tls is None and self._tls_wanted:
            hosts = dict.fromkeys(("localhost", "127.0.0.1", "::1", self.host))
            self._tls = TLSFiles.create(self.directory / "tls", hosts=tuple(hosts))
        return self._tls

    def share_tls(self, other: EtcdServer) -> None:
        """Use the certificates of another server, so that clients trust one authority."""
        if self.running:
            raise EtcdTestingError(f"{self.name} runs already with certificates of its own")
        self._tls_source = other

    async def metrics(self, *, timeout: float = 60.0) -> dict[str, float]:
        """Return the page /metrics: each sample's value, by its name with its labels if any."""
        return await read_metrics(self.host, self._ports[-1].port, timeout=timeout)

    async def member_id(self) -> str:
        """Return the ID of this running member in hexadecimal, as etcdctl prints it."""
        for name in await self.metrics():
            if name.startswith("etcd_server_id{"):
                return name.split('"')[1]
        raise EtcdTestingError(f"the metrics of {self.name} do not have its member ID")

    async def etcdctl(
        self, *args: str, user: str | None = None, stdin: str | None = None, timeout: float = 30.0
    ) -> str:
        """Run the real etcdctl against this server; return its stdout.

        `user` is "name:password"; None means root after `enable_auth`, and no user before.
        `stdin` is its input. Raises `EtcdctlError` if it fails, TimeoutError after `timeout`
        seconds. On timeout and on cancellation it is killed.
        """
        program, env = self._etcdctl(args, user)
        return await run_etcdctl(
            program, args, flags=ETCDCTL_FLAGS, env=env, stdin=stdin, timeout=timeout
        )

    def etcdctl_session(self, *args: str, user: str | None = None) -> EtcdctlSession:
        """Run the real etcdctl for a command that keeps running: lock, elect or watch.

        `async with server.etcdctl_session("lock", "name") as session:`, see `EtcdctlSession`.
        """
        program, env = self._etcdctl(args, user)
        return EtcdctlSession(program, args, env=env)

    async def enable_auth(self, root_password: str = "root") -> None:
        """Create the user root and enable authentication; `etcdctl` then runs as root."""
        # etcd 3.5.16 and 3.5.30 keep the records of users that were written within a tenth of a
        # second in one buffer, and may read an older record from it later: that of root without
        # its role, so that requests of root are denied. Defragmenting empties the buffer.
        await self.etcdctl("defrag")
        await self.etcdctl("user", "add", f"root:{root_password}")
        await self.etcdctl("user", "grant-role", "root", "root")
        await self.etcdctl("auth", "enable")
        self._root = f"root:{root_password}"

    async def restore(
        self,
        snapshot: str | Path,
        *,
        cluster_token: str = "etcd-cluster",
        timeout: float = 60.0,
    ) -> None:
        """Replace the data of this server, which must not run, by a snapshot, and start it.

        It is the only member of its cluster then. With another `cluster_token` than before, which
        is etcd's default unless it was restored already, the cluster has another ID. Runs etcdutl,
        or etcdctl of etcd 3.4; raises `EtcdctlError` if that fails, TimeoutError if it takes longer
        than `timeout` seconds.
        """
        if self.running:
            raise EtcdTestingError(f"{self.name} runs: stop it before it is restored")
        try:
            program = find_binary("etcdutl", bin_dir=self._bin_dir)
        except BinaryNotFoundError:
            program = find_binary("etcdctl", bin_dir=self._bin_dir)
        args = (
            *("snapshot", "restore", str(snapshot), f"--data-dir={self.data_dir}"),
            *(f"--name={self.name}", f"--initial-cluster={self.name}={self.peer_url}"),
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster-token={cluster_token}",
        )
        env = etcdctl_environment(program_environment(self._env), {}, args)
        shutil.rmtree(self.data_dir, ignore_errors=True)
        await run_etcdctl(program, args, env=env, stdin=None, timeout=timeout)
        await self.start()

    async def close(self) -> None:
        """Kill the process and remove the temporary directory; idempotent and final.

        With a `data_dir`, which is kept, the process is stopped by SIGTERM first. A cancellation
        is raised after that.
        """
        await super().close()

    async def _close(self) -> None:
        if self._given_data_dir is not None and not self._closed:
            await self.stop()
        await super()._close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"pid={self.pid}"
        return f"<EtcdServer {self.name} {self.url} {state}>"

    # Implementation.

    @property
    def _scheme(self) -> str:
        tls = self._tls_wanted or self._tls is not None or self._tls_source is not None
        return "https" if tls else "http"

    def _before_start(self) -> Path | None:
        # A killed server leaves its socket file, and the next start would find it in use.
        (self.directory / _UNIX_NAME).unlink(missing_ok=True)
        return self.directory if self._unix_socket else None

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


# etcd accepts only "host:port" after unix://, and creates a file of that name in its working
# directory.
_UNIX_NAME = "client.sock:0"
