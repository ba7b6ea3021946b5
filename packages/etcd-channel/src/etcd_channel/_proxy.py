"""Chooses the HTTP proxy for an endpoint, by the rules of etcd's Go client.

The rules of Go (golang.org/x/net/http/httpproxy, which grpc-go applies as for an https:// address)
differ from those of gRPC's core, which reads grpc_proxy, https_proxy and http_proxy, and also uses
the proxy for the local machine.

`ipaddress` and `urllib.parse` are imported in functions, because they are needed only with a proxy
and would take a tenth of the time to import this package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from etcd_channel.endpoints import Endpoint

if TYPE_CHECKING:
    import ipaddress

__all__ = ["PROXY_OPTIONS", "Proxy"]

PROXY_OPTIONS: Final = frozenset({"grpc.enable_http_proxy", "grpc.http_proxy"})
"""The gRPC options by which a caller chooses the proxy."""

_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_Exception: TypeAlias = "Callable[[str, str, _Address | None], bool]"

# Other characters of a user name or password must be written as %xx.
_USER = r"[A-Za-z0-9._~!$&'()*+,;=:%-]*"
_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"

_DIRECT: Final[list[tuple[str, Any]]] = [
    ("grpc.enable_http_proxy", 0),
    # Disables a second mechanism of gRPC, whose environment variables Go does not have.
    ("grpc.address_http_proxy_enabled_addresses", ""),
]


class Proxy:
    """An HTTP proxy, and the exceptions that are reached without it."""

    def __init__(self, address: str | None, exceptions: str) -> None:
        self._address = address
        self._exceptions = [
            exception
            for entry in exceptions.lower().split(",")
            if (exception := _exception(entry.strip()))
        ]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Proxy:
        """Read HTTPS_PROXY and NO_PROXY, or the same in lower case.

        Raises `ValueError` for a value that is not the address of a proxy; the error does not
        show the value, which may contain a password.
        """
        for name in ("HTTPS_PROXY", "https_proxy"):
            if environment.get(name):
                exceptions = environment.get("NO_PROXY") or environment.get("no_proxy", "")
                return cls(_address(name, environment[name]), exceptions)
        return cls(None, "")

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint is reached through the proxy."""
        if self._address is None or endpoint.target.startswith("unix:"):
            return False
        host, _, port = endpoint.name.lower().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        ip = _ip(host)
        if host == "localhost" or (ip is not None and ip.is_loopback):
            return False
        return not any(exception(host, port, ip) for exception in self._exceptions)

    def options(self, endpoint: Endpoint) -> list[tuple[str, Any]]:
        """Return the gRPC channel options for an endpoint."""
        if not self.serves(endpoint):
            return _DIRECT
        return [("grpc.enable_http_proxy", 1), ("grpc.http_proxy", self._address)]


def _address(name: str, value: str) -> str:
    """Return the address in gRPC's form; as in Go, the scheme is optional and ignored."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        user, _, host = parts.netloc.rpartition("@")
        host, port = host.removesuffix(f":{parts.port}"), parts.port
        if not re.fullmatch(_HOST, host) or not re.fullmatch(_USER, user):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{name} in the environment must be the address of a proxy such as"
            " 'http://host:port': correct it, or give http_proxy=False"
        ) from None
    at = f"{user}@" if user else ""
    return f"http://{at}{host}" if port is None else f"http://{at}{host}:{port}"


def _ip(host: str) -> _Address | None:
    import ipaddress

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _exception(entry: str) -> _Exception | None:
    """Parse one entry of NO_PROXY; return None for an invalid entry, which is ignored."""
    if entry == "*":
        return lambda host, port, ip: True
    if "/" in entry:
        import ipaddress

        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return None
        return lambda host, port, ip: ip is not None and ip in network
    name, colon, only_port = entry.rpartition(":")
    if not colon or _ip(entry) is not None:
        name, only_port = entry, ""
    name = name.removeprefix("[").removesuffix("]")
    excepted = _ip(name)
    if excepted is not None:
        return lambda host, port, ip: ip == excepted and only_port in ("", port)
    suffix = name.removeprefix("*")
    if not suffix:
        return None
    whole = "" if suffix.startswith(".") else suffix
    suffix = f".{suffix.removeprefix('.')}"
    return lambda host, port, ip: (
        (host.endswith(suffix) or host == whole) and only_port in ("", port)
    )
