"""Reads PEM files, checks them, and reads them again after they have changed."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["PEM", "PEMFiles", "PEMSource"]

PEMSource = str | os.PathLike[str] | bytes
"""The path of a PEM file, or its content as bytes."""

_NAMES = ("ca_cert", "client_cert", "client_key")


class PEM(NamedTuple):
    """The contents of the files that were read together."""

    ca_cert: bytes | None
    client_cert: bytes | None
    client_key: bytes | None

    def __repr__(self) -> str:
        return "PEM(…)"  # without the key


# What changes when a file is written, or replaced by another one.
_Signature = tuple[tuple[int, int, int], ...]


class PEMFiles:
    """The sources of certificates and keys: paths, which can be read again, and contents."""

    __slots__ = ("_paths", "_read", "_sources")

    def __init__(self, *sources: PEMSource | None) -> None:
        self._sources: dict[str, PEMSource | None] = {}
        for name, source in zip(_NAMES, sources, strict=True):
            _check_type(name, source)
            if isinstance(source, (str, os.PathLike)):
                # Absolute, so that the file is found after the program has changed its directory.
                source = os.path.abspath(os.fsdecode(source))
            self._sources[name] = source
        self._paths = [path for path in self._sources.values() if isinstance(path, str)]
        # The signature of the files that were read last; None if that failed.
        self._read: _Signature | None = None

    def read(self) -> PEM:
        """Read and check all files; raise a `ValueError` that names the argument."""
        # The signature first: a file that changes while it is read must be read again.
        signature = self._signature()
        ca_cert, client_cert, client_key = (
            None if source is None else _content(name, source)
            for name, source in self._sources.items()
        )
        _check_certificates("ca_cert", ca_cert)
        _check_certificates("client_cert", client_cert)
        _check_private_key("client_key", client_key)
        self._read = signature
        return PEM(ca_cert, client_cert, client_key)

    def read_again(self) -> PEM:
        """As `read`, and check that the certificate and the key belong together.

        Another program may be writing the files at this moment, one after the other.
        """
        self._read = None
        pem = self.read()
        certificate, key = self._sources["client_cert"], self._sources["client_key"]
        signature, self._read = self._read, None
        if isinstance(certificate, str) and isinstance(key, str):
            _check_pair(certificate, key)
        if self._signature() != signature:
            raise ValueError("the files were written while they were read")
        self._read = signature
        return pem

    @property
    def changed(self) -> bool:
        """Whether a file has changed since all were last read successfully."""
        return bool(self._paths) and self._signature() != self._read

    def _signature(self) -> _Signature | None:
        try:
            states = [os.stat(path) for path in self._paths]
        except OSError:
            return None  # reading raises the error
        return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)


def _check_type(name: str, source: object) -> None:
    if source is None or isinstance(source, bytes):
        return
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path or bytes, not {type(source).__name__}")
    if "-----BEGIN " in str(source):
        # As a path, a private key would be shown in an error.
        raise TypeError(f"{name}: a str is a path, and this one contains PEM: give it as bytes")


def _content(name: str, source: PEMSource) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {os.fspath(source)!r}: {error.strerror}") from error


def _check_private_key(name: str, content: bytes | None) -> None:
    if content is None:
        return
    if b"-----BEGIN " not in content or b"PRIVATE KEY-----" not in content:
        raise ValueError(f"{name}: no PEM private key in it")
    if b"-----BEGIN ENCRYPTED" in content or b"Proc-Type: 4,ENCRYPTED" in content:
        raise ValueError(f"{name}: the private key is encrypted, which gRPC does not support")


def _check_certificates(name: str, content: bytes | None) -> None:
    if content is None:
        return
    # gRPC itself accepts invalid certificates, and fails only at the handshake.
    import ssl  # here, so that programs without TLS do not import it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode())
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{name}: no PEM certificate in it ({error})") from error


def _check_pair(certificate: str, key: str) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whether they are strong enough is decided by gRPC and the server.
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        # A password, because OpenSSL asks the terminal for the one of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ValueError(
            f"client_cert and client_key do not belong together, or one is damaged ({error})"
        ) from error
