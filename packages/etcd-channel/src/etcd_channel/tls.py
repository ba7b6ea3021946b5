"""TLS: what a caller gives, as paths or bytes, and what gRPC is told."""

from __future__ import annotations

import os

import grpc

from etcd_channel.arguments import check_name

__all__ = ["TLS", "PEMSource"]

PEMSource = str | os.PathLike[str] | bytes
"""A PEM file's path, or its content as bytes."""


class TLS:
    """How to prove the server, and oneself to the server.

    `ca_cert` holds the authorities that may sign the server's certificate; None stands
    for those that gRPC ships with. `client_cert` (a chain) and `client_key` go together
    and make it mutual. `server_name` is the name that the server's certificate must
    carry where it is not the endpoint's host.

    Each PEM is a path or the bytes themselves. Paths are read here, and what they hold is
    checked, so that what is wrong is said at once: `ValueError` names the argument. Key
    material never shows in the repr or in an error.
    """

    __slots__ = ("_ca_cert", "_client_cert", "_client_key", "server_name")

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
        self._ca_cert = _certificates("ca_cert", ca_cert)
        self._client_cert = _certificates("client_cert", client_cert)
        self._client_key = _private_key("client_key", client_key)
        self.server_name = None if server_name is None else check_name("server_name", server_name)

    def __repr__(self) -> str:
        parts = [
            name
            for name, given in (("ca_cert", self._ca_cert), ("client_cert", self._client_cert))
            if given is not None
        ]
        if self.server_name is not None:
            parts.append(f"server_name={self.server_name!r}")
        return f"TLS({', '.join(parts)})"

    def credentials(self) -> grpc.ChannelCredentials:
        """Make gRPC's credentials of it."""
        return grpc.ssl_channel_credentials(
            root_certificates=self._ca_cert,
            private_key=self._client_key,
            certificate_chain=self._client_cert,
        )

    def options(self) -> list[tuple[str, str]]:
        """The gRPC channel options that belong to it."""
        if self.server_name is None:
            return []
        return [
            ("grpc.ssl_target_name_override", self.server_name),
            ("grpc.default_authority", self.server_name),
        ]


def _read(name: str, source: object) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path or bytes, not {type(source).__name__}")
    if "-----BEGIN " in str(source):
        # Shown as the path that it is not, a private key would stand in the error.
        raise TypeError(f"{name}: a str is a path, and this one is PEM itself: give it as bytes")
    try:
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {os.fspath(source)!r}: {error.strerror}") from error


def _private_key(name: str, source: PEMSource | None) -> bytes | None:
    if source is None:
        return None
    content = _read(name, source)
    if b"-----BEGIN " not in content or b"PRIVATE KEY-----" not in content:
        raise ValueError(f"{name}: no PEM private key in it")
    if b"-----BEGIN ENCRYPTED" in content or b"Proc-Type: 4,ENCRYPTED" in content:
        raise ValueError(f"{name}: the private key is encrypted, and gRPC takes only plain ones")
    return content


def _certificates(name: str, source: PEMSource | None) -> bytes | None:
    if source is None:
        return None
    content = _read(name, source)
    # gRPC takes broken certificates without a word and fails at the handshake.
    import ssl  # only who uses TLS pays for it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode())
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{name}: no PEM certificate in it ({error})") from error
    return content
