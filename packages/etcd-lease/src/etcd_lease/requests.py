"""Checks arguments and builds requests; no I/O."""

from __future__ import annotations

import secrets

from etcd_channel.arguments import INT64_MAX, INT64_MIN, check_flag, check_int, check_lease_id
from etcd_lease.pb import lease_pb2 as pb

__all__ = [
    "grant_request",
    "info_request",
    "random_lease_id",
]


def random_lease_id() -> int:
    """Return a positive random id of 63 bits, as the server would choose it."""
    return secrets.randbelow(INT64_MAX) + 1


def grant_request(ttl: object, lease_id: object) -> tuple[pb.LeaseGrantRequest, bool]:
    """Build a grant; return it and whether the client chose its id.

    The server checks the minimum and the maximum of `ttl`.
    """
    seconds = check_int("ttl", ttl, minimum=INT64_MIN)
    number = 0 if lease_id is None else check_lease_id("lease_id", lease_id, none=True)
    return pb.LeaseGrantRequest(TTL=seconds, ID=number or random_lease_id()), number == 0


def info_request(lease: object, keys: object) -> pb.LeaseTimeToLiveRequest:
    """Build the request for a lease's remaining time and, with `keys`, its keys."""
    return pb.LeaseTimeToLiveRequest(
        ID=check_lease_id("lease_id", lease), keys=check_flag("keys", keys)
    )
