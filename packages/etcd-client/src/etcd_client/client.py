"""`Client`: every service of etcd on one channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from etcd_auth import AuthClient
from etcd_channel import (
    DEFAULT_KEEPALIVE_TIME,
    DEFAULT_KEEPALIVE_TIMEOUT,
    SRV,
    TLS,
    Channel,
    ChannelLike,
    FailedAttempt,
    Middleware,
    Reconnect,
    Service,
    channel_of,
    with_middleware,
)
from etcd_channel.arguments import MAX_TIMEOUT, check_int, check_name, check_timeout
from etcd_channel.view import check_middleware
from etcd_client.keyspace import KeyspaceClient
from etcd_cluster import ClusterClient, MaintenanceClient
from etcd_kv import KVClient

__all__ = ["Client"]

ClientT = TypeVar("ClientT", bound="Client")

_HOST = "localhost"
_PORT = 2379
# gRPC accepts these schemes before a host, and so did the reference.
_SCHEMES = ("dns:///", "dns:", "ipv4:", "ipv6:")


class Client(
    KeyspaceClient,
    ClusterClient,
    MaintenanceClient,
    AuthClient,
):
    """A client of an etcd cluster.

    `host` and `port` name one member; `endpoints` names several members instead, or finds them in
    DNS, as for `Channel`.
    `port` may be a str, as in settings. `username` and `password` are given together; an empty
    string and None mean no user. `timeout` is the number of seconds that a call may take, None
    means 10. `options` are gRPC channel options. `connect_wait_timeout` is the number of seconds
    that a call may look for a member that answers, None means as long as the call may take. `tls`
    has the certificates and the key. `keepalive_time` and `keepalive_timeout` are the seconds after
    which a silent connection is closed, as for `Channel`. `http_proxy=False` ignores the
    environment variable HTTPS_PROXY, which is otherwise used as in etcd's Go client.
    `on_reconnect` and `on_failed_attempt` are called for broken streams and failed attempts, as
    for `Channel`. `sync_interval` is the interval in seconds at which the endpoints are set to
    those of the cluster's member list, as by `sync_endpoints_every`; None means never.
    `middleware` are views of the channel that each call passes, in their order: classes of
    `ChannelView`, or functions that make one. `Client.on` makes a client on an existing channel.

    Nothing is opened before the first call or `connect`; `close` ends everything. The client is an
    async context manager that does both, and belongs to one event loop. A closed client can be
    entered again, also in another event loop.
    """

    def __init__(
        self,
        host: str = _HOST,
        port: int | str = _PORT,
        username: str | None = None,
        password: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        connect_wait_timeout: float | None = 3,
        *,
        endpoints: str | Iterable[str] | SRV | None = None,
        tls: TLS | None = None,
        keepalive_time: float = DEFAULT_KEEPALIVE_TIME,
        keepalive_timeout: float = DEFAULT_KEEPALIVE_TIMEOUT,
        http_proxy: bool = True,
        on_reconnect: Callable[[Reconnect], object] | None = None,
        on_failed_attempt: Callable[[FailedAttempt], object] | None = None,
        sync_interval: float | None = None,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        if endpoints is None:
            endpoints = [_endpoint(host, port)]
        elif (host, port) != (_HOST, _PORT):
            raise ValueError("endpoints replace host and port: give one or the other")
        if connect_wait_timeout is None:
            connect_wait_timeout = MAX_TIMEOUT
        if _is_missing(username) and _is_missing(password):
            # Programs read missing settings as None or as an empty string.
            username = password = None
        channel = Channel(
            endpoints,
            username=username,
            password=password,
            tls=tls,
            timeout=timeout,
            connect_timeout=check_timeout("connect_wait_timeout", connect_wait_timeout),
            keepalive_time=keepalive_time,
            keepalive_timeout=keepalive_timeout,
            http_proxy=http_proxy,
            options=options,
            on_reconnect=on_reconnect,
            on_failed_attempt=on_failed_attempt,
        )
        self._begin(channel, sync_interval, middleware)

    def _begin(
        self, channel: Channel, sync_interval: float | None, middleware: Iterable[Middleware]
    ) -> None:
        if sync_interval is not None:
            sync_interval = check_timeout("sync_interval", sync_interval)
        self._sync_interval = sync_interval
        # The channel, if this client made it and closes it; None if it was given to `on`.
        self._own: Channel | None = channel
        self._middleware = check_middleware("middleware", middleware)
        super().__init__(with_middleware(channel, self._middleware))
        self._keep_endpoints()

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
        the others are read as by `Channel.from_env`, which raises `ValueError` for a variable that
        is unknown, not valid or contradicts another one.

        The other arguments are those of `Client`. One that is not None replaces what the variables
        say. The constructor of a subclass is not called.
        """
        channel = Channel.from_env(
            environ,
            endpoints=endpoints,
            username=username,
            password=password,
            tls=tls,
            timeout=timeout,
            connect_timeout=connect_wait_timeout,
            keepalive_time=keepalive_time,
            keepalive_timeout=keepalive_timeout,
            http_proxy=http_proxy,
            options=options,
            on_reconnect=on_reconnect,
            on_failed_attempt=on_failed_attempt,
        )
        client = cls.__new__(cls)
        client._begin(channel, sync_interval, middleware)
        return client

    @classmethod
    def on(cls: type[ClientT], channel: ChannelLike | Service) -> ClientT:
        """Return a client on an existing channel or view, which it does not own.

        `channel` may also be a service client; its channel is used then. Closing the new client,
        or leaving it as a context manager, closes nothing: its watches and keep-alives continue
        until they are ended, or until the channel is closed. The constructor of a subclass is not
        called.
        """
        client = cls.__new__(cls)
        client._own = None
        client._middleware = ()
        super(Client, client).__init__(channel_of(channel, "channel"))
        return client

    def coalescing(self: ClientT) -> ClientT:
        """Return a client whose concurrent gets, puts and deletions share transactions.

        See `KVClient.coalescing`. The new client has all services, on a view of the present channel
        of this client, as if it were made by `on`: closing it closes nothing. After this client was
        closed and opened again, make another one.
        """
        return self.on(KVClient.coalescing(self))

    async def connect(self) -> None:
        """Find a member that answers, and fetch the token; see `Channel.connect`.

        A new client does not need it: the first call does the same. It opens a closed client again,
        as entering does; its earlier locks, leases and watches stay closed. A client that was made
        by `on` cannot open its channel again.
        """
        if self._own is not None and self._own.closed:
            self._own = self._own.recreate()
            self._channel = with_middleware(self._own, self._middleware)
            self._keep_endpoints()
        await self._channel.connect()

    async def close(self) -> None:
        """Close the client and everything that it opened; see `Channel.close`.

        It is idempotent. Calls in flight raise `ClientClosedError`, and so do later calls, until
        `connect`. A client that was made by `on` leaves its channel open.
        """
        if self._own is not None:
            await self._own.close()

    def _keep_endpoints(self) -> None:
        if self._sync_interval is not None:
            self.sync_endpoints_every(self._sync_interval)

    @property
    def _cluster(self) -> ClusterClient:
        # The members in the results of `status` refer to this client, like those of `members`:
        # they still work after it is opened again, on another channel.
        return self


def _endpoint(host: object, port: object) -> str:
    name = check_name("host", host)
    for scheme in _SCHEMES:
        name = name.removeprefix(scheme)
    _refuse_endpoint(name)
    if isinstance(port, str):
        if not (port.isascii() and port.isdigit()):
            raise TypeError(f"port must be an int, not str: {port!r}")
        # Python refuses to parse thousands of digits; a port of 99 digits is invalid anyway.
        port = int(port[:99])
    number = check_int("port", port, minimum=1, maximum=65535)
    if ":" in name and not name.startswith(("[", "unix:")):
        name = f"[{name}]"
    return f"{name}:{number}"


def _refuse_endpoint(host: str) -> None:
    """Raise a `ValueError` if `host` is more than a host, but can be given as `endpoints`."""
    if "@" in host:
        return  # refused later, by an error that does not show it
    if "://" in host:
        wrong = "not a URL"
    elif "," in host:
        wrong = "not several"
    elif "]:" in host or (host.count(":") == 1 and not host.startswith("unix:")):
        wrong = "without a port"
    else:
        return
    raise ValueError(
        f"host must be a name or an address, {wrong}: give host and port, or endpoints={host!r}"
    )


def _is_missing(setting: object) -> bool:
    return setting is None or (isinstance(setting, str) and not setting)
