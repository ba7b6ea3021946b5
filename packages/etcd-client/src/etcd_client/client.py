"""The documented client: every service on one channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from etcd_auth import AuthClient
from etcd_channel import TLS, Channel
from etcd_channel.arguments import check_int, check_name, check_timeout
from etcd_cluster import ClusterClient, MaintenanceClient
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock import LockClient, ServerLockClient
from etcd_watch import WatchClient

__all__ = ["Client"]

ClientT = TypeVar("ClientT", bound="Client")

_HOST = "localhost"
_PORT = 2379


class Client(
    KVClient,
    WatchClient,
    LeaseClient,
    LockClient,
    ServerLockClient,
    ClusterClient,
    MaintenanceClient,
    AuthClient,
):
    """A client of an etcd cluster.

    `host` and `port` name one member; `endpoints`, as for `Channel`, several, and then
    the two are left alone. `username` and `password` go together. `timeout` is the number
    of seconds that a call may take, None for 10. `options` are gRPC channel options.
    `connect_wait_timeout` is the number of seconds that a call may look for a member that
    answers. `tls` is how to prove the server, and oneself to it.

    Nothing is opened before the first call, or `connect`; `close` ends everything. The
    client is an async context manager that does both, and belongs to one event loop.
    """

    def __init__(
        self,
        host: str = _HOST,
        port: int = _PORT,
        username: str | None = None,
        password: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        connect_wait_timeout: float = 3,
        *,
        endpoints: str | Iterable[str] | None = None,
        tls: TLS | None = None,
    ) -> None:
        if endpoints is None:
            endpoints = [_endpoint(host, port)]
        elif (host, port) != (_HOST, _PORT):
            raise ValueError("endpoints stand in place of host and port: give one or the other")
        super().__init__(
            Channel(
                endpoints,
                username=username,
                password=password,
                tls=tls,
                timeout=timeout,
                connect_timeout=check_timeout("connect_wait_timeout", connect_wait_timeout),
                options=options,
            )
        )

    async def connect(self) -> None:
        """Find a member that answers, and fetch the token; as `Channel.connect`.

        Never needed: the first call does the same.
        """
        await self._channel.connect()

    async def close(self) -> None:
        """End everything that the client opened; as `Channel.close`.

        Safe to call twice, and while calls are under way: those end in
        `ClientClosedError`.
        """
        await self._channel.close()

    async def __aenter__(self: ClientT) -> ClientT:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _endpoint(host: object, port: object) -> str:
    name = check_name("host", host)
    number = check_int("port", port, minimum=1, maximum=65535)
    if ":" in name and not name.startswith(("[", "unix:")):
        name = f"[{name}]"
    return f"{name}:{number}"
