"""The gRPC channel options that an etcd client wants, and the check of a caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["channel_options"]

_KEEPALIVE_TIME = "grpc.keepalive_time_ms"
# A server of etcd cuts the connection of a client that pings more often than every 5 s
# (`--grpc-keepalive-min-time`); twice that leaves room for jitter.
_LEAST_KEEPALIVE_MS = 10_000

_DEFAULTS: Final[Mapping[str, Any]] = {
    # A range may be as large as it is: as etcd's Go client, no limit on what is received.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # A member that died without a word is noticed while calls or streams are open, and
    # never pinged without them (etcd counts that as an offence).
    _KEEPALIVE_TIME: _LEAST_KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.keepalive_permit_without_calls": 0,
    "grpc.http2.max_pings_without_data": 0,
    # How soon to call again where nobody answered is decided here, not by gRPC, whose own
    # pauses grow to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # So is what is sent again. gRPC's own retries, of streams that a server refused before it
    # looked at them, would cost every call a twentieth of its time.
    "grpc.enable_retries": 0,
    # Every channel has connections of its own, and ends them when it is closed.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config_disable_resolution": 1,
}


def channel_options(own: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Merge a caller's options over the defaults."""
    if own is None:
        return list(_DEFAULTS.items())
    if not isinstance(own, Mapping):
        raise TypeError(f"options must be a mapping of gRPC options, not {type(own).__name__}")
    for name, value in own.items():
        if not isinstance(name, str):
            raise TypeError(f"options must have str keys, not {name!r}")
        # gRPC itself would complain only when the first call makes the connection.
        if not isinstance(value, (int, str, bytes)):
            raise TypeError(f"options: {name} must be an int or a str, not {type(value).__name__}")
    keepalive = own.get(_KEEPALIVE_TIME, _LEAST_KEEPALIVE_MS)
    if not isinstance(keepalive, int):
        raise TypeError(
            f"options: {_KEEPALIVE_TIME} must be an int, not {type(keepalive).__name__}"
        )
    if keepalive < _LEAST_KEEPALIVE_MS:
        raise ValueError(
            f"options: {_KEEPALIVE_TIME} must be at least {_LEAST_KEEPALIVE_MS}, not {keepalive}:"
            " etcd cuts connections that ping more often"
        )
    return list({**_DEFAULTS, **own}.items())
