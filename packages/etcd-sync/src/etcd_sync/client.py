"""`Client` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import etcd_client
from etcd_client import SRV, TLS, FailedAttempt, Middleware, Reconnect
from etcd_sync._portal import Portal
from etcd_sync._worker import posted
from etcd_sync.auth import AuthClient
from etcd_sync.keyspace import KeyspaceClient
from etcd_sync.maintenance import MaintenanceClient
from etcd_sync.members import ClusterClient

__all__ = ["Client"]

ClientT = TypeVar("ClientT", bound="Client")


class Client(KeyspaceClient, ClusterClient, MaintenanceClient, AuthClient):
    """A client of an etcd cluster.

    `host` and `port` name one member; `endpoints` names several members instead, or finds them in
    DNS, as for `etcd_channel.Channel`. `port` may be a str, as in settings. `username` and
    `password` are given together; an empty string and None mean no user. `timeout` is the number of
    seconds that a call may take, None means 10. `options` are gRPC channel options.
    `connect_wait_timeout` is the number of seconds that a call may look for a member that answers,
    None means as long as the call may take. `tls` has the certificates and the key.
    `keepalive_time` and `keepalive_timeout` are the seconds after which a silent connection is
    closed, as for `etcd_channel.Channel`. `http_proxy=False` ignores the environment variable
    HTTPS_PROXY, which is otherwise used as in etcd's Go client. `on_reconnect` and
    `on_failed_attempt` are called for broken streams and failed attempts, in order, each in a
    thread of its own, where it may use the client. `sync_interval` is the interval in seconds at
    which the endpoints are set to those of the cluster's member list, as by `sync_endpoints_every`;
    None means never. `middleware` are views of the client that each call passes, in their order:
    classes of `ChannelView`, or functions that make one. Their methods run in the client's own
    thread, where they must not block and cannot call the client.

    Nothing is opened before the first call or `connect`; `close` ends everything. The client is a
    context manager that does both. Any number of threads may use it at once. Its connections are in
    a thread of its own, which ends with the client or the process. A call raises `RuntimeError` in
    a thread where an event loop runs, and `ClientForkedError` in a process that was forked while
    any client was open. A closed client can be entered again.
    """

    _inner: etcd_client.Client

    def __init__(
        self,
        host: str = "localhost",
        port: int | str = 2379,
        username: str | None = None,
        password: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        connect_wait_timeout: float | None = 3,
        *,
        endpoints: str | Iterable[str] | SRV | None = None,
        tls: TLS | None = None,
        keepalive_time: float = 5.0,
        keepalive_timeout: float = 2.0,
        http_proxy: bool = True,
        on_reconnect: Callable[[Reconnect], object] | None = None,
        on_failed_attempt: Callable[[FailedAttempt], object] | None = None,
        sync_interval: float | None = None,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        inner = etcd_client.Client(
            host,
            port,
            username,
            password,
            timeout,
            options,
            connect_wait_timeout,
            endpoints=endpoints,
            tls=tls,
            keepalive_time=keepalive_time,
            keepalive_timeout=keepalive_timeout,
            http_proxy=http_proxy,
            on_reconnect=posted(on_reconnect),
            on_failed_attempt=posted(on_failed_attempt),
            sync_interval=sync_interval,
            middleware=middleware,
        )
        super().__init__(Portal(inner.close), inner)
        self._owner = True

    @classmethod
    def from_env(
        cls: type[ClientT],
        environ: Mapping[str, str] | None = None,
        *,
        endpoints: str | Iterable[str] | SRV | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: TLS | None = None,
        timeout: float | None = None,
        connect_wait_timeout: float | None = None,
        keepalive_time: float | None = None,
        keepalive_timeout: float | None = None,
        http_proxy: bool = True,
        options: Mapping[str, Any] | None = None,
        on_reconnect: Callable[[Reconnect], object] | None = None,
        on_failed_attempt: Callable[[FailedAttempt], object] | None = None,
        sync_interval: float | None = None,
        middleware: Iterable[Middleware] = (),
    ) -> ClientT:
        """Return a client of the cluster that the variables of etcdctl name.

        `environ` is the environment; None means that of the process. ETCDCTL_ENDPOINTS,
        ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER, ETCDCTL_PASSWORD, the timeouts and
        the others are read as by `etcd_channel.Channel.from_env`, which raises `ValueError` for a
        variable that is unknown, not valid or contradicts another one.

        The other arguments are those of `Client`. One that is not None replaces what the variables
        say. The constructor of a subclass is not called.
        """
        inner = etcd_client.Client.from_env(
            environ,
            endpoints=endpoints,
            username=username,
            password=password,
            tls=tls,
            timeout=timeout,
            connect_wait_timeout=connect_wait_timeout,
            keepalive_time=keepalive_time,
            keepalive_timeout=keepalive_timeout,
            http_proxy=http_proxy,
            options=options,
            on_reconnect=posted(on_reconnect),
            on_failed_attempt=posted(on_failed_attempt),
            sync_interval=sync_interval,
            middleware=middleware,
        )
        client = cls._of(Portal(inner.close), inner)
        client._owner = True
        return client

    def coalescing(self: ClientT) -> ClientT:
        """Return a client whose concurrent gets, puts and deletions share transactions.

        See `KVClient.coalescing`. The new client has all services, and the connections of this one:
        closing it closes nothing. After this client was closed and opened again, make another one.
        """
        return self._of(self._portal, self._portal.call(self._inner.coalescing))

    def connect(self) -> None:
        """Find a member that answers, and fetch the token.

        A new client does not need it: the first call does the same. It opens a closed client again,
        as entering does; its earlier locks, leases and watches stay closed. A client that was made
        by `coalescing` cannot open the one that it was made of.
        """
        if self._owner:
            self._portal.reopen()
        self._portal.run(self._inner.connect)

    def close(self) -> None:
        """Close the client and everything that it opened.

        It is idempotent. Calls in flight raise `ClientClosedError`, and so do later calls, until
        `connect`. A client that was made by `coalescing` leaves open the one that it was made of.
        """
        if self._owner:
            self._portal.close()

    _owner = False
