"""gRPC channel options: the defaults for etcd, and the checks of the caller's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from etcd_channel._proxy import PROXY_OPTIONS, Proxy
from etcd_channel.arguments import check_flag
from etcd_channel.endpoints import Endpoint

__all__ = ["INT32_MAX", "Options", "channel_options"]

# gRPC keeps numbers in C ints.
INT32_MAX: Final = (1 << 31) - 1
_INT32_MIN: Final = -(1 << 31)

_KEEPALIVE_TIME = "grpc.keepalive_time_ms"
# etcd closes the connection of a client that pings more often than every 5 s
# (`--grpc-keepalive-min-time`); twice that leaves room for jitter.
_LEAST_KEEPALIVE_MS = 10_000

_DEFAULTS: Final[Mapping[str, Any]] = {
    # No limit on the size of a response, as in etcd's Go client.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # Pings only while calls or streams are open; otherwise etcd closes the connection.
    _KEEPALIVE_TIME: _LEAST_KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.keepalive_permit_without_calls": 0,
    "grpc.http2.max_pings_without_data": 0,
    # This package has its own backoff between attempts to connect; gRPC's grows to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # Look up a name again as soon as its address fails, because the address may have changed, for
    # example if a pod was replaced. By default gRPC uses the old address for half a minute.
    "grpc.dns_min_time_between_resolutions_ms": 500,
    # This package has its own retry policy. gRPC's retries (of streams that a server refused before
    # processing them) would make every call 5 % slower.
    "grpc.enable_retries": 0,
    # Each gRPC channel has its own TCP connection, and closes it when it is closed.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config_disable_resolution": 1,
}


class Options:
    """The options of the gRPC channels; only the HTTP proxy differs between endpoints."""

    def __init__(self, custom: Mapping[str, Any] | None, *, http_proxy: bool) -> None:
        self._common = channel_options(custom)
        self._proxy: Proxy | None = None
        if custom is None or PROXY_OPTIONS.isdisjoint(custom):
            use_proxy = check_flag("http_proxy", http_proxy)
            self._proxy = Proxy.from_environment() if use_proxy else Proxy(None, "")

    def of(self, endpoint: Endpoint) -> list[tuple[str, Any]]:
        """Return the options for one endpoint."""
        if self._proxy is None:
            return self._common
        return [*self._common, *self._proxy.options(endpoint)]


def channel_options(custom: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Check the caller's options; return the defaults, overridden by them."""
    if custom is None:
        return list(_DEFAULTS.items())
    if not isinstance(custom, Mapping):
        raise TypeError(f"options must be a mapping of gRPC options, not {type(custom).__name__}")
    for name, value in custom.items():
        if not isinstance(name, str):
            raise TypeError(f"options must have str keys, not {name!r}")
        # gRPC itself raises only at the first call.
        if not isinstance(value, (int, str, bytes)):
            raise TypeError(f"options: {name} must be an int or a str, not {type(value).__name__}")
        if isinstance(value, int) and not _INT32_MIN <= value <= INT32_MAX:
            raise ValueError(f"options: {name} must be a 32-bit integer, not {value}")
    keepalive = custom.get(_KEEPALIVE_TIME, _LEAST_KEEPALIVE_MS)
    if not isinstance(keepalive, int):
        raise TypeError(
            f"options: {_KEEPALIVE_TIME} must be an int, not {type(keepalive).__name__}"
        )
    if keepalive < _LEAST_KEEPALIVE_MS:
        raise ValueError(
            f"options: {_KEEPALIVE_TIME} must be at least {_LEAST_KEEPALIVE_MS}, not {keepalive}:"
            " etcd closes connections that ping more often"
        )
    return list({**_DEFAULTS, **custom}.items())
