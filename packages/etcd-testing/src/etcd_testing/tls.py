"""Certificates for a server and its clients."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import EtcdTestingError

__all__ = ["TLSFiles"]


@dataclasses.dataclass(frozen=True)
class TLSFiles:
    """The PEM files of a server that speaks TLS, and those that its clients need."""

    ca: Path
    """The authority that signed the rest."""
    server_cert: Path
    server_key: Path
    client_cert: Path | None = None
    """What etcdctl and a client show to a server with client certificate authentication."""
    client_key: Path | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if not isinstance(value, (str, os.PathLike)):
                raise TypeError(f"{field.name} should be a path, not {type(value).__name__}")
            path = Path(value).absolute()
            if not path.is_file():
                raise ValueError(f"{field.name} should be a file; there is none at {str(path)!r}")
            object.__setattr__(self, field.name, path)
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key should be given together or not at all")

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
        client_name: str = "etcd-testing",
    ) -> TLSFiles:
        """Make an authority, a server certificate for `hosts` and a client certificate.

        `client_name` is the common name of the client certificate, which etcd takes for the user
        when authentication is on. Needs trustme: `pip install "etcd-testing[tls]"`.
        """
        try:
            trustme = importlib.import_module("trustme")
        except ImportError as error:
            raise EtcdTestingError(
                'certificates are made by trustme: `pip install "etcd-testing[tls]"` brings it, '
                "or give the files of your own as TLSFiles"
            ) from error
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        server = authority.issue_cert(*hosts)
        # Never without a host: Go refuses a certificate with an empty list of names.
        client = authority.issue_cert("localhost", common_name=client_name)
        paths = {name: directory / f"{name}.pem" for name in _PARTS}
        authority.cert_pem.write_to_path(str(paths["ca"]))
        for side, issued in (("server", server), ("client", client)):
            chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
            paths[f"{side}_cert"].write_bytes(chain)
            issued.private_key_pem.write_to_path(str(paths[f"{side}_key"]))
        return cls(**paths)


_PARTS = ("ca", "server_cert", "server_key", "client_cert", "client_key")
