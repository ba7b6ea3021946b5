"""`TLS`, the certificates and the key of TLS connections."""

from __future__ import annotations

import logging

import grpc

from etcd_channel._pem import PEMFiles, PEMSource
from etcd_channel.arguments import check_name

__all__ = ["TLS", "PEMSource"]

_log = logging.getLogger("etcd_channel")


class TLS:
    """The certificates and the key of TLS connections.

    `ca_cert` has the certificates of the authorities that may sign the server's certificate; None
    means the authorities that gRPC ships with. `client_cert` (a chain) and `client_key`
    authenticate the client and are given together. `server_name` is the name in the server's
    certificate; None means the host of the endpoint.

    Each PEM is the path of a file or its content as bytes. The constructor reads and checks the
    files and raises a `ValueError` that names the argument. Keys never appear in the repr or in
    an error.

    Files that are renewed are read again when a connection is made; see `reload`.
    """

    __slots__ = ("_files", "_generation", "_pem", "_warned", "server_name")

    def __init__(
        self,
        *,
        ca_cert: PEMSource | None = None,
        client_cert: PEMSource | None = None,
        client_key: PEMSource | None = None,
        server_name: str | None = None,
    ) -> None:
        if (client_cert is None) != (client_key is None):
            given, missing = "client_cert", "client_key"
            if client_cert is None:
                given, missing = missing, given
            raise ValueError(f"{given} was given without {missing}: they go together")
        self._files = PEMFiles(ca_cert, client_cert, client_key)
        self._pem = self._files.read()
        self._generation = 0
        self._warned = False
        self.server_name = None if server_name is None else check_name("server_name", server_name)

    def __repr__(self) -> str:
        pem = self._pem
        parts = [name for name in ("ca_cert", "client_cert") if getattr(pem, name) is not None]
        if self.server_name is not None:
            parts.append(f"server_name={self.server_name!r}")
        return f"TLS({', '.join(parts)})"

    @property
    def generation(self) -> int:
        """How often other certificates or another key were read since the constructor."""
        return self._generation

    def reload(self) -> bool:
        """Read the files again if they have changed; return whether their contents have.

        A channel calls it each time it opens a connection or looks for a member that answers; a
        file that has not changed costs a look at its times. New connections use the new
        certificates, connections that are open stay as they are. If a file cannot be read, is
        damaged, or the certificate and the key do not belong together, all old ones stay in use,
        which is logged once as a warning, and the next call tries again.
        """
        if not self._files.changed:
            return False
        try:
            pem = self._files.read_again()
        except ValueError as error:
            if not self._warned:
                self._warned = True
                _log.warning(
                    "the files of TLS have changed, but cannot be used;"
                    " the old ones stay in use: %s",
                    str(error),
                )
            return False
        self._warned = False
        if pem == self._pem:
            return False
        self._pem = pem
        self._generation += 1
        _log.info("the files of TLS have changed: new connections use them")
        return True

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials for a gRPC channel."""
        return grpc.ssl_channel_credentials(
            root_certificates=self._pem.ca_cert,
            private_key=self._pem.client_key,
            certificate_chain=self._pem.client_cert,
        )

    def options(self) -> list[tuple[str, str]]:
        """Return the gRPC channel options that go with the credentials."""
        if self.server_name is None:
            return []
        return [
            ("grpc.ssl_target_name_override", self.server_name),
            ("grpc.default_authority", self.server_name),
        ]
