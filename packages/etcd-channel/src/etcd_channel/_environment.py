"""Reads the environment variables of etcdctl: what `Channel.from_env` makes a channel with.

The names and meanings are those of etcdctl 3.4 and newer. Where etcdctl ignores a mistake (a
duration that it cannot parse, a variable that it does not know), this module raises an error.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TypedDict

from etcd_channel.arguments import MAX_TIMEOUT
from etcd_channel.endpoints import Endpoint, parse_endpoint, parse_endpoints
from etcd_channel.srv import SRV
from etcd_channel.tls import TLS

__all__ = ["ChannelArguments", "channel_arguments"]

_PREFIX = "ETCDCTL_"

# Those that say how to reach a cluster.
_READ = (
    "ENDPOINTS",
    "CACERT",
    "CERT",
    "KEY",
    "USER",
    "PASSWORD",
    "DIAL_TIMEOUT",
    "COMMAND_TIMEOUT",
    "KEEPALIVE_TIME",
    "KEEPALIVE_TIMEOUT",
    "INSECURE_TRANSPORT",
    "INSECURE_SKIP_TLS_VERIFY",
    "INSECURE_DISCOVERY",
    "DISCOVERY_SRV",
    "DISCOVERY_SRV_NAME",
)

# Those of etcdctl's output and of single commands.
_IGNORED = (
    "API",
    "CLUSTER",
    "DEBUG",
    "HEX",
    "WATCH_KEY",
    "WATCH_RANGE_END",
    "WRITE_OUT",
)

# What replaced the variables of etcdctl's commands for the API v2.
_FORMER = {
    "CA_FILE": "CACERT",
    "CERT_FILE": "CERT",
    "ENDPOINT": "ENDPOINTS",
    "KEY_FILE": "KEY",
    "PEERS": "ENDPOINTS",
    "TIMEOUT": "DIAL_TIMEOUT",
    "TOTAL_TIMEOUT": "COMMAND_TIMEOUT",
    "USERNAME": "USER",
}

_DEFAULT_ENDPOINT = "127.0.0.1:2379"

# Where Go looks for the certificate authorities of the system.
_SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_UNITS["h"] = 3600.0
_DURATION_PART = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_UNITS)})")

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class ChannelArguments(TypedDict, total=False):
    """The arguments of `Channel` that an environment has."""

    endpoints: list[str] | SRV
    username: str
    password: str
    tls: TLS
    timeout: float
    connect_timeout: float
    keepalive_time: float
    keepalive_timeout: float


def channel_arguments(
    environ: Mapping[str, str] | None = None, *, without: Collection[str] = ()
) -> ChannelArguments:
    """Return the arguments of `Channel` that the variables of etcdctl stand for.

    `environ` is the environment; None means that of the process. Variables for the arguments in
    `without` are not read: those of TLS for "tls", those of discovery for "endpoints". A variable
    that is empty counts as not set. Without any, the only argument is `endpoints`, with etcdctl's
    default.

    Raises `ValueError` for a variable that etcdctl does not know, that has no valid value, or that
    contradicts another one. The error names the variable and never shows a password.
    """
    if environ is not None and not isinstance(environ, Mapping):
        raise TypeError(f"environ must be a mapping, not {type(environ).__name__}")
    variables = _Variables(os.environ if environ is None else environ)
    variables.refuse_unknown()
    arguments: ChannelArguments = {}
    srv: SRV | None = None
    endpoints: list[str] = []
    if "endpoints" not in without:
        srv = variables.srv()
        if srv is None:
            endpoints = variables.endpoints()
        arguments["endpoints"] = srv or endpoints
    if "tls" not in without:
        tls = variables.tls(endpoints, srv)
        if tls is not None:
            arguments["tls"] = tls
    username, password = variables.user(
        has_username="username" not in without, has_password="password" not in without
    )
    if username is not None:
        arguments["username"] = username
    if password is not None:
        arguments["password"] = password
    if "timeout" not in without and variables.get("COMMAND_TIMEOUT"):
        arguments["timeout"] = variables.seconds("COMMAND_TIMEOUT")
    if "connect_timeout" not in without and variables.get("DIAL_TIMEOUT"):
        arguments["connect_timeout"] = variables.seconds("DIAL_TIMEOUT")
    if "keepalive_time" not in without and variables.get("KEEPALIVE_TIME"):
        arguments["keepalive_time"] = variables.seconds("KEEPALIVE_TIME")
    if "keepalive_timeout" not in without and variables.get("KEEPALIVE_TIMEOUT"):
        arguments["keepalive_timeout"] = variables.seconds("KEEPALIVE_TIMEOUT")
    return arguments


class _Variables:
    """The variables of etcdctl, by their names without the prefix."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def get(self, name: str) -> str:
        return self._environ.get(_PREFIX + name, "")

    def refuse_unknown(self) -> None:
        for variable in sorted(self._environ):
            name = variable.removeprefix(_PREFIX)
            if name == variable or name in _READ or name in _IGNORED or not self.get(name):
                continue
            # The value may be a password under a wrong name.
            raise ValueError(f"{variable} is no variable of etcdctl{_instead_of(name)}")
        if self.get("API") == "2":
            raise ValueError("ETCDCTL_API must be 3, not 2: etcd's API v2 is not supported")

    def seconds(self, name: str) -> float:
        text = self.get(name)
        seconds = _duration(text)
        if seconds is None or seconds <= 0:
            raise ValueError(
                f"{_PREFIX}{name} must be a positive duration such as '5s' or '1m30s', not {text!r}"
            )
        return min(seconds, MAX_TIMEOUT)

    def flag(self, name: str, default: bool) -> bool:
        text = self.get(name)
        if not text:
            return default
        if text not in _TRUE + _FALSE:
            raise ValueError(f"{_PREFIX}{name} must be 'true' or 'false', not {text!r}")
        return text in _TRUE

    def srv(self) -> SRV | None:
        domain, name = self.get("DISCOVERY_SRV"), self.get("DISCOVERY_SRV_NAME")
        secure_only = not self.flag("INSECURE_DISCOVERY", True)
        if not domain:
            if name:
                raise ValueError("ETCDCTL_DISCOVERY_SRV_NAME is set without ETCDCTL_DISCOVERY_SRV")
            return None
        try:
            return SRV(domain, service_name=name, secure_only=secure_only)
        except ValueError as error:
            argument, _, reason = str(error).partition(" ")
            variable = "DISCOVERY_SRV" if argument == "domain" else "DISCOVERY_SRV_NAME"
            raise ValueError(f"{_PREFIX}{variable} {reason}") from None

    def endpoints(self) -> list[str]:
        text = self.get("ENDPOINTS") or _DEFAULT_ENDPOINT
        import csv  # here, because few programs read their environment

        try:
            # Quotes around an endpoint are removed, as by etcdctl: files of variables often have
            # them.
            texts = [part.strip() for line in csv.reader([text]) for part in line]
            parse_endpoints(texts)
        except csv.Error:
            raise ValueError(
                "ETCDCTL_ENDPOINTS must be endpoints with commas in between, on one line"
            ) from None
        except ValueError as error:
            raise ValueError(f"ETCDCTL_ENDPOINTS: {error}") from None
        return texts

    def tls(self, endpoints: Iterable[str], srv: SRV | None) -> TLS | None:
        if self.flag("INSECURE_SKIP_TLS_VERIFY", False):
            raise ValueError(
                "ETCDCTL_INSECURE_SKIP_TLS_VERIFY is not supported: without verification, anyone "
                "between this host and etcd can read the password and change the data. Unset it, "
                "and set ETCDCTL_CACERT to the certificate of the authority that signed the "
                "server's; if only the host name differs, give tls=TLS(ca_cert=…, server_name=…)"
            )
        parsed = [parse_endpoint(text) for text in endpoints]
        reason = next((name for name in ("CACERT", "CERT", "KEY") if self.get(name)), None)
        if reason is not None:
            reason = f"{_PREFIX}{reason} is set"
        elif not self.flag("INSECURE_TRANSPORT", True):
            reason = "ETCDCTL_INSECURE_TRANSPORT is false"
        elif srv is not None and srv.secure_only:
            reason = "ETCDCTL_INSECURE_DISCOVERY is false"
        elif any(endpoint.tls for endpoint in parsed):
            reason = "another endpoint has https://"
        if reason is None:
            return None
        _refuse_plain(parsed, reason)
        if bool(self.get("CERT")) != bool(self.get("KEY")):
            given, missing = ("CERT", "KEY") if self.get("CERT") else ("KEY", "CERT")
            raise ValueError(
                f"{_PREFIX}{given} is set without {_PREFIX}{missing}: they go together"
            )
        # Records can be forged, so they do not say which names a certificate may have.
        secure = srv is not None and srv.secure_only
        return self._read_tls(srv.domain.removesuffix(".") if srv and secure else None)

    def _read_tls(self, server_name: str | None) -> TLS:
        variables = {
            "ca_cert": "ETCDCTL_CACERT",
            "client_cert": "ETCDCTL_CERT",
            "client_key": "ETCDCTL_KEY",
        }
        ca_cert: str | bytes | None = self.get("CACERT") or None
        if ca_cert is None:
            ca_cert, variables["ca_cert"] = self._system_authorities()
        try:
            return TLS(
                ca_cert=ca_cert,
                client_cert=self.get("CERT") or None,
                client_key=self.get("KEY") or None,
                server_name=server_name,
            )
        except (TypeError, ValueError) as error:
            argument, colon, reason = str(error).partition(":")
            raise ValueError(f"{variables.get(argument, argument)}{colon}{reason}") from error

    def _system_authorities(self) -> tuple[str | bytes | None, str]:
        """Return the authorities that Go trusts, and the variable that names them."""
        given, folders = self._environ.get("SSL_CERT_FILE"), self._environ.get("SSL_CERT_DIR")
        # gRPC would trust the authorities that it ships with, and not those of the system.
        file = given or next(filter(os.path.exists, _SYSTEM_AUTHORITIES), None)
        if not folders:
            return file, "SSL_CERT_FILE"
        # As Go, both: the certificates of the file, and all those of the folders.
        found = [block for folder in folders.split(":") for block in _certificates_in(folder)]
        if not given and not found:
            raise ValueError(f"SSL_CERT_DIR: no PEM certificate in {folders!r}")
        if file is not None:
            try:
                found += _certificates_of(file)
            except OSError as error:
                if given:
                    reason = f"cannot read {file!r}: {error.strerror}"
                    raise ValueError(f"SSL_CERT_FILE: {reason}") from error
        name = "SSL_CERT_FILE or SSL_CERT_DIR" if given else "SSL_CERT_DIR"
        return b"\n".join(dict.fromkeys(found)) + b"\n", name

    def user(self, *, has_username: bool, has_password: bool) -> tuple[str | None, str | None]:
        username = (self.get("USER") or None) if has_username else None
        password = (self.get("PASSWORD") or None) if has_password else None
        if username is None:
            if password is not None and has_username:
                raise ValueError("ETCDCTL_PASSWORD is set without ETCDCTL_USER: they go together")
            return None, password
        # As in etcdctl, all of it is the name of the user if the password is given separately.
        if has_password and password is None:
            username, colon, password = username.partition(":")
            if not colon:
                raise ValueError(
                    "ETCDCTL_USER has no password, and there is nobody to ask: set "
                    "ETCDCTL_PASSWORD, or write user:password"
                )
            if not username:
                raise ValueError("ETCDCTL_USER has no name before the colon")
        return username, password


def _certificates_in(folder: str) -> list[bytes]:
    """Return the PEM certificates of all files of a folder; what cannot be read is left out."""
    found: list[bytes] = []
    try:
        files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except OSError:
        return found
    for file in filter(os.path.isfile, files):
        with contextlib.suppress(OSError):
            found += _certificates_of(file)
    return found


def _certificates_of(file: str) -> list[bytes]:
    with open(file, "rb") as opened:
        return _CERTIFICATE.findall(opened.read())


def _refuse_plain(endpoints: Iterable[Endpoint], reason: str) -> None:
    for endpoint in endpoints:
        if endpoint.tls is False:
            # etcdctl would send everything unencrypted, the password included.
            raise ValueError(
                f"ETCDCTL_ENDPOINTS: 'http://{endpoint.name}' does not use TLS, but {reason}: "
                "write https://, or no scheme"
            )


def _instead_of(name: str) -> str:
    import difflib

    if name in _FORMER:
        return f" for etcd's API v3: use {_PREFIX}{_FORMER[name]}"
    if name == "AUTH_JWT_TOKEN":
        return " that is supported: use ETCDCTL_USER and ETCDCTL_PASSWORD"
    close = difflib.get_close_matches(name, _READ, n=1)
    return f": is it {_PREFIX}{close[0]}?" if close else ": unset it"


def _duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it; None if it is none."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0.0
    parts = _DURATION_PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds
