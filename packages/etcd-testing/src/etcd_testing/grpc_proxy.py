"""etcd's own proxy for clients, `etcd grpc-proxy`, as a real process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ._program import Program
from .cluster import EtcdCluster
from .server import EtcdServer
from .tls import TLSFiles

__all__ = ["GrpcProxy"]


class GrpcProxy(Program):
    """`etcd grpc-proxy start` in front of a server or a cluster, used like an `EtcdServer`.

    `upstream` is an `EtcdServer` or `EtcdCluster`, with TLS or without, or addresses, "host:port"
    or URLs. It may be restarted meanwhile. If it has TLS the proxy needs `TLSFiles.proxy_cert`.

    The proxy listens on a free port of `host` (`client_port` 0), which stays reserved until
    `close`. `tls=True` or `tls=TLSFiles(…)` are for its clients, as for `EtcdServer`; without
    it they use plain http, whatever the upstream uses. `namespace` is a prefix that it adds to
    every key. `advertise_client_url` is its address in the member list: None means its own
    endpoint, which needs `--resolver-prefix` and `--resolver-ttl` in `args`; if empty, it returns
    the cluster's member list. `args` are further flags of grpc-proxy, which override the others.
    `env`, `bin_dir` and `start_timeout` are as for `EtcdServer`.

    It is healthy if the upstream is: `start` waits for that unless `wait=False`.
    """

    def __init__(
        self,
        upstream: EtcdServer | EtcdCluster | str | Sequence[str],
        *,
        name: str = "grpc-proxy",
        host: str = "127.0.0.1",
        client_port: int = 0,
        tls: TLSFiles | bool = False,
        namespace: str | None = None,
        advertise_client_url: str | None = "",
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        bin_dir: str | os.PathLike[str] | None = None,
        start_timeout: float = 30.0,
    ) -> None:
        if isinstance(args, str):
            raise TypeError("args should be a sequence of flags, not one str")
        super().__init__(
            name=name,
            host=host,
            ports=(client_port, 0),
            env=env,
            bin_dir=bin_dir,
            start_timeout=start_timeout,
        )
        self._members: Sequence[EtcdServer] = ()
        self._addresses: Sequence[str] = ()
        if isinstance(upstream, EtcdServer):
            self._members = (upstream,)
        elif isinstance(upstream, EtcdCluster):
            self._members = upstream.members
        else:
            self._addresses = (upstream,) if isinstance(upstream, str) else tuple(upstream)
        self._tls_wanted = tls is True
        self._tls = tls if isinstance(tls, TLSFiles) else None
        self._namespace = namespace
        self._advertise = self.endpoint if advertise_client_url is None else advertise_client_url
        self._args = tuple(args)

    @property
    def url(self) -> str:
        """The address for clients with its scheme, "http://…" or "https://…"."""
        return f"{'https' if self._tls_wanted or self._tls else 'http'}://{self.endpoint}"

    @property
    def tls(self) -> TLSFiles | None:
        """The certificates for clients; None without TLS."""
        if self._tls is None and self._tls_wanted:
            hosts = dict.fromkeys(("localhost", "127.0.0.1", "::1", self.host))
            self._tls = TLSFiles.create(self.directory / "tls", hosts=tuple(hosts))
        return self._tls

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"pid={self.pid}"
        return f"<GrpcProxy {self.name} {self.url} {state}>"

    def _command(self) -> list[str]:
        flags: dict[str, object] = {
            "endpoints": ",".join([member.url for member in self._members] or self._addresses),
            "listen-addr": self.endpoint,
            "metrics-addr": self.metrics_url,
            "advertise-client-url": self._advertise,
            "data-dir": self.directory / "data",
            "namespace": self._namespace,
        }
        if self.tls is not None:
            flags["cert-file"] = self.tls.server_cert
            flags["key-file"] = self.tls.server_key
        upstream = next((member.tls for member in self._members if member.tls), None)
        if upstream is not None:
            flags["cacert"] = upstream.ca
            flags["cert"] = upstream.proxy_cert
            flags["key"] = upstream.proxy_key
        given = [f"--{flag}={value}" for flag, value in flags.items() if value is not None]
        return [str(self.binary), "grpc-proxy", "start", *given, *self._args]
