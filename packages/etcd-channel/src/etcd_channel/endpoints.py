"""Endpoints: what a caller may write, and what gRPC is told."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DEFAULT_PORT", "Endpoint", "parse_endpoint", "parse_endpoints"]

DEFAULT_PORT = 2379

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_FORMS = "'host:port', 'http://host:port', 'https://host:port', '[ipv6]:port' or 'unix:/path'"


@dataclass(frozen=True)
class Endpoint:
    """One member's address.

    `name` is the address as errors show it, `target` as gRPC takes it. `tls` is what the
    scheme says: True for https, False for http, None where it says nothing.
    """

    name: str
    target: str
    tls: bool | None = None


def parse_endpoint(text: str) -> Endpoint:
    """Read one endpoint; raise a `ValueError` that says what is wrong with it."""
    if not isinstance(text, str):
        raise TypeError(f"an endpoint must be a str, not {type(text).__name__}: {text!r}")
    if "@" in text and not text.startswith("unix:"):
        # The text is not shown: what stands before the @ is a password.
        raise ValueError(
            "an endpoint holds no user and no password: give them as username= and password="
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
        if scheme not in ("http", "https"):
            raise ValueError(f"endpoint {text!r}: unknown scheme {scheme!r}, expected {_FORMS}")
        tls = scheme == "https"
        address = rest.removesuffix("/")
    host, port = _split(text, address)
    name = f"{host}:{port}"
    # Without a scheme of gRPC's own, a name like "dns:2379" would be read as one.
    return Endpoint(name=name, target=f"dns:///{name}", tls=tls)


def parse_endpoints(endpoints: str | Iterable[str]) -> tuple[Endpoint, ...]:
    """Read endpoints: one, several separated by commas, or a sequence of them.

    One that stands twice is taken once.
    """
    if isinstance(endpoints, str):
        texts = [part.strip() for part in endpoints.split(",")]
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
    if not _HOST.fullmatch(host):
        raise ValueError(f"endpoint {text!r}: no valid host, expected {_FORMS}")
    return host, _port(text, port if colon else str(DEFAULT_PORT))


def _is_ipv6(address: str) -> bool:
    address, percent, zone = address.partition("%")
    if percent and not _HOST.fullmatch(zone):
        return False
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return False
    return True


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError(f"endpoint {text!r}: the port must be a number from 1 to 65535")
    return int(port)
