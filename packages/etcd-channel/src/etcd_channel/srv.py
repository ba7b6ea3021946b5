"""`SRV` finds the endpoints of a cluster in DNS."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from etcd_channel import errors
from etcd_channel.arguments import check_flag, check_name, check_timeout
from etcd_channel.endpoints import parse_endpoints

if TYPE_CHECKING:
    import dns.asyncresolver

__all__ = ["SRV"]

# `re` compiles the patterns when one is needed: most programs that import this use no SRV records.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*\.?"
# Together with "_etcd-client-ssl-" it must fit into the 63 bytes of a label.
_SERVICE_NAME = r"[A-Za-z0-9_-]{1,46}"
_MAX_DOMAIN = 190
_DNS_PORT = 53


class SRV:
    """The SRV records of a domain, which name the members of a cluster.

    `Channel(SRV("example.com"))` uses the members in `_etcd-client-ssl._tcp.example.com` by
    `https://`, and those in `_etcd-client._tcp.example.com` by `http://`; if the channel has `tls`,
    only the former. The channel looks the records up at its first call, and again when no member
    answers, until `set_endpoints` or a sync with the member list replaces them. It begins with the
    member that priorities and weights put first.

    `service_name` is appended to the names, as by etcdctl: `_etcd-client-ssl-NAME`.
    `secure_only` ignores the records of members without TLS. `nameservers` are the addresses of DNS
    servers, "10.0.0.1" or "10.0.0.1:8600"; without any, those of dnspython's default resolver are
    used, which are those of the system.

    A certificate must be for the host in the record. Without DNSSEC the records can be forged: if
    the certificates are for the domain, use `TLS(server_name="example.com", …)`.

    Needs dnspython: `pip install "etcd-channel[srv]"`. Raises `ModuleNotFoundError` without it,
    `ValueError` or `TypeError` for an invalid argument.
    """

    __slots__ = ("_domain", "_nameservers", "_secure_only", "_service_name")

    def __init__(
        self,
        domain: str,
        *,
        service_name: str = "",
        secure_only: bool = False,
        nameservers: Iterable[str] = (),
    ) -> None:
        self._domain = check_name("domain", domain)
        if not re.fullmatch(_DOMAIN, domain) or len(domain) > _MAX_DOMAIN:
            raise ValueError(
                f"domain must be a name such as 'example.com', without a scheme and a port, "
                f"not {domain!r}"
            )
        if not isinstance(service_name, str):
            raise TypeError(f"service_name must be a str, not {type(service_name).__name__}")
        if service_name and not re.fullmatch(_SERVICE_NAME, service_name):
            raise ValueError(
                f"service_name must be at most 46 letters, digits and hyphens, not {service_name!r}"
            )
        self._service_name = service_name
        self._secure_only = check_flag("secure_only", secure_only)
        if isinstance(nameservers, str):
            raise TypeError("nameservers must be a sequence of str, not one str")
        self._nameservers = tuple(nameservers)
        for text in self._nameservers:
            _address(text)
        # Not at the top, for the programs that use no SRV records.
        from importlib.util import find_spec

        if find_spec("dns") is None:
            raise ModuleNotFoundError(
                'SRV records need dnspython: pip install "etcd-channel[srv]"', name="dns"
            )

    @property
    def domain(self) -> str:
        """The domain that was given."""
        return self._domain

    @property
    def secure_only(self) -> bool:
        """Whether the records of members without TLS are ignored."""
        return self._secure_only

    def __repr__(self) -> str:
        parts = [repr(self._domain)]
        if self._service_name:
            parts.append(f"service_name={self._service_name!r}")
        if self._secure_only:
            parts.append("secure_only=True")
        if self._nameservers:
            parts.append(f"nameservers={list(self._nameservers)}")
        return f"SRV({', '.join(parts)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the records, that for TLS first."""
        suffix = f"-{self._service_name}" if self._service_name else ""
        domain = self._domain.removesuffix(".")
        secure = f"_etcd-client-ssl{suffix}._tcp.{domain}"
        return (secure,) if self._secure_only else (secure, f"_etcd-client{suffix}._tcp.{domain}")

    def secured(self) -> SRV:
        """Return a copy with `secure_only` set."""
        return SRV(
            self._domain,
            service_name=self._service_name,
            secure_only=True,
            nameservers=self._nameservers,
        )

    async def lookup(self, *, timeout: float = 5.0) -> tuple[str, ...]:
        """Look up the records; return the endpoints in the order in which to try them.

        Those with `https://` come first, and within each kind lower priorities first; equal ones
        are in a random order that respects the weights.

        Raises `ConnectionFailedError` if there is no record, or if the lookup of one of `names`
        fails, and `ConnectionTimeoutError` after `timeout` seconds.
        """
        timeout = check_timeout("timeout", timeout)
        found = await asyncio.gather(
            *(self._endpoints(name, timeout) for name in self.names), return_exceptions=True
        )
        endpoints: list[str] = []
        for some in found:
            # Not even if there are others: those with TLS must be known not to exist.
            if isinstance(some, BaseException):
                raise some
            endpoints += some
        if not endpoints:
            names = " or ".join(self.names)
            raise errors.ConnectionFailedError(f"no SRV record {names} names a member")
        return tuple(dict.fromkeys(endpoints))

    async def _endpoints(self, name: str, timeout: float) -> list[str]:
        scheme = "https" if name == self.names[0] else "http"
        found = await self._records(name, timeout)
        members = ((str(record.target).removesuffix("."), record.port) for record in found)
        # The root as a target says that there is no such service at this domain.
        endpoints = [f"{scheme}://{host}:{port}" for host, port in members if host]
        try:
            if endpoints:
                parse_endpoints(endpoints)
        except ValueError as error:
            raise errors.ConnectionFailedError(
                f"the SRV records {name} are wrong: {error}"
            ) from None
        return endpoints

    async def _records(self, name: str, timeout: float) -> Sequence[Any]:
        import dns.asyncbackend
        import dns.asyncresolver
        import dns.exception
        import dns.name
        import dns.resolver

        absolute = self._domain.endswith(".")
        try:
            answer = await self._resolver().resolve(
                dns.name.from_text(name, dns.name.root if absolute else None),
                "SRV",
                lifetime=timeout,
                search=not absolute,
                backend=dns.asyncbackend.get_backend("asyncio"),
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.Timeout as error:
            raise errors.ConnectionTimeoutError(
                f"no DNS server answered for the SRV records {name}"
            ) from error
        except (dns.exception.DNSException, OSError) as error:
            raise errors.ConnectionFailedError(
                f"the SRV records {name} cannot be looked up: {error}"
            ) from error
        return answer.rrset.processing_order() if answer.rrset is not None else ()

    def _resolver(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver
        import dns.nameserver

        if not self._nameservers:
            # The program's own one, if it has configured dnspython.
            return dns.asyncresolver.default_resolver or dns.asyncresolver.Resolver()
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(*_address(text)) for text in self._nameservers
        ]
        return resolver


def _address(text: object) -> tuple[str, int]:
    """Return the address and the port of a DNS server."""
    from ipaddress import ip_address  # here, because few programs need it

    host, port = check_name("nameservers", text), str(_DNS_PORT)
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") if rest else port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    with contextlib.suppress(ValueError):
        if port.isascii() and port.isdigit() and 1 <= int(port[:9]) <= 65535:
            return str(ip_address(host)), int(port)
    raise ValueError(
        f"nameservers must be addresses such as '10.0.0.1' or '[::1]:53', not {text!r}"
    )
