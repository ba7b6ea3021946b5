"""Parses endpoints."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["DEFAULT_PORT", "Endpoint", "parse_endpoint", "parse_endpoints"]

DEFAULT_PORT = 2379

_HOST = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?"
_FORMS = "'host:port', 'http://host:port', 'https://host:port', '[ipv6]:port' or 'unix:/path'"


class Endpoint(NamedTuple):
    """The address of a member.

    `name` is the address that errors show, `target` the address for gRPC. `tls` follows from the
    scheme: True for https, False for http, None without a scheme.
    """

    name: str
    target: str
    tls: bool | None = None

    @property
    def address(self) -> str:
        """The endpoint with its scheme, in a form for `parse_endpoint`."""
        return self.name if self.tls is None else f"http{'s' * self.tls}://{self.name}"


def parse_endpoint(text: str) -> Endpoint:
    """Parse one endpoint; raise `ValueError` if it is invalid."""
    if not isinstance(text, str):
        raise TypeError(f"an endpoint must be a str, not {type(text).__name__}")
    if "@" in text and not text.startswith("unix:"):
        # The text is not shown, because it may contain a password before the @.
        raise ValueError(
            "an endpoint must not contain a user or a password: use username= and password="
        )
    if text.startswith("unix:"):
        path = text[len("unix:") :].removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"endpoint {text!r}: a unix socket needs an absolute path")
        return Endpoint(name=f"unix:{path}", target=f"unix:{path}")
    tls: bool | None = None
    address = text
    scheme, mark, rest = text.partition("://")
    if mark:
        # Schemes are case-insensitive (RFC 3986).
        if scheme.lower() not in ("http", "https"):
            raise ValueError(f"endpoint {text!r}: unknown scheme {scheme!r}, expected {_FORMS}")
        tls = scheme.lower() == "https"
        address = rest.removesuffix("/")
    host, port = _split(text, address)
    name = f"{host}:{port}"
    # With gRPC's scheme, because otherwise a host like "dns:2379" would be read as a scheme.
    return Endpoint(name=name, target=f"dns:///{name}", tls=tls)


def parse_endpoints(endpoints: str | Iterable[str]) -> tuple[Endpoint, ...]:
    """Parse endpoints: a string of one or several, separated by commas, or a sequence of strings.

    Duplicates and a trailing comma are ignored.
    """
    if isinstance(endpoints, str):
        texts = [part.strip() for part in endpoints.split(",")]
        # Programs that join a list in a loop leave a trailing comma.
        if len(texts) > 1 and not texts[-1]:
            texts.pop()
    elif isinstance(endpoints, Iterable) and not isinstance(endpoints, bytes):
        texts = list(endpoints)
    else:
        raise TypeError(
            f"endpoints must be a str or a sequence of them, not {type(endpoints).__name__}"
        )
    parsed = tuple(dict.fromkeys(parse_endpoint(text) for text in texts))
    if not parsed:
        raise ValueError("endpoints must not be empty")
    return parsed


def _split(text: str, address: str) -> tuple[str, int]:
    if address.startswith("["):
        inside, bracket, rest = address[1:].partition("]")
        if not bracket or not _is_ipv6(inside) or (rest and not rest.startswith(":")):
            raise ValueError(f"endpoint {text!r}: malformed IPv6 address, expected '[::1]:2379'")
        return f"[{inside}]", _port(text, rest[1:] if rest else str(DEFAULT_PORT))
    host, colon, port = address.partition(":")
    if ":" in port:
        raise ValueError(f"endpoint {text!r}: write an IPv6 address in brackets, '[::1]:2379'")
    if not re.fullmatch(_HOST, host):
        raise ValueError(f"endpoint {text!r}: no valid host, expected {_FORMS}")
    return host, _port(text, port if colon else str(DEFAULT_PORT))


def _is_ipv6(address: str) -> bool:
    address, percent, zone = address.partition("%")
    if percent and not re.fullmatch(_HOST, zone):
        return False
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return False
    return True


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port[:99]) <= 65535:
        raise ValueError(f"endpoint {text!r}: the port must be a number from 1 to 65535")
    return int(port)
