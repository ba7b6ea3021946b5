"""From arguments to requests: every check that needs no server, and no I/O."""

from __future__ import annotations

import secrets
from typing import Protocol

from etcd_channel.arguments import INT64_MAX, check_flag, check_int
from etcd_lease.pb import lease_pb2 as pb

__all__ = [
    "HasId",
    "LeaseLike",
    "checked_lease_id",
    "grant_request",
    "info_request",
    "random_lease_id",
]


class HasId(Protocol):
    """A lease as far as a call must know it."""

    @property
    def id(self) -> int: ...


LeaseLike = int | HasId
"""A lease, or its id."""


def checked_lease_id(name: str, lease: object) -> int:
    """Return the id of a lease, given as itself or by its id; 0, etcd's word for none, is none."""
    if not isinstance(lease, int):
        lease = getattr(lease, "id", lease)
    return check_int(name, lease, minimum=1)


def random_lease_id() -> int:
    """Return an id that no other lease has: 63 bits by chance, as the server's own are."""
    return secrets.randbelow(INT64_MAX) + 1


def grant_request(ttl: object, lease_id: object) -> tuple[pb.LeaseGrantRequest, bool]:
    """Build a grant, and say whether the id in it is our own choice.

    The most seconds of a ttl are the server's to say.
    """
    seconds = check_int("ttl", ttl, minimum=1)
    number = 0 if lease_id is None else check_int("lease_id", lease_id)
    return pb.LeaseGrantRequest(TTL=seconds, ID=number or random_lease_id()), number == 0


def info_request(lease: object, keys: object) -> pb.LeaseTimeToLiveRequest:
    """Build the question for what is left of a lease and, with `keys`, what ends with it."""
    return pb.LeaseTimeToLiveRequest(
        ID=checked_lease_id("lease_id", lease), keys=check_flag("keys", keys)
    )
