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
    """The PEM files of a server with TLS, and those of its clients."""

    ca: Path
    """The authority that signed the rest."""
    server_cert: Path
    server_key: Path
    client_cert: Path | None = None
    """The certificate of etcdctl and of a client, for client certificate authentication."""
    client_key: Path | None = None
    proxy_cert: Path | None = None
    """The certificate of a `GrpcProxy`; etcd's proxy needs one without a common name."""
    proxy_key: Path | None = None

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
        for side in ("client", "proxy"):
            given = [getattr(self, f"{side}_{part}") is not None for part in ("cert", "key")]
            if any(given) and not all(given):
                raise ValueError(
                    f"{side}_cert and {side}_key should be given together or not at all"
                )

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
        client_name: str = "etcd-testing",
    ) -> TLSFiles:
        """Create an authority, and certificates for a server on `hosts`, a client and a proxy.

        `client_name` is the common name of the client certificate: the user, if authentication
        is enabled. Needs trustme: `pip install "etcd-testing[tls]"`.
        """
        try:
            trustme = importlib.import_module("trustme")
        except ImportError as error:
            raise EtcdTestingError(
                'certificates need trustme: run `pip install "etcd-testing[tls]"`, '
                "or pass your own files as TLSFiles"
            ) from error
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        server = authority.issue_cert(*hosts)
        # With a host, because Go refuses a certificate with an empty list of names.
        client = authority.issue_cert("localhost", common_name=client_name)
        proxy = authority.issue_cert("localhost")
        paths = {name: directory / f"{name}.pem" for name in _PARTS}
        authority.cert_pem.write_to_path(str(paths["ca"]))
        for side, issued in (("server", server), ("client", client), ("proxy", proxy)):
            chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
            paths[f"{side}_cert"].write_bytes(chain)
            issued.private_key_pem.write_to_path(str(paths[f"{side}_key"]))
        return cls(**paths)


_SIDES = ("server", "client", "proxy")
_PARTS = ("ca", *(f"{side}_{part}" for side in _SIDES for part in ("cert", "key")))
