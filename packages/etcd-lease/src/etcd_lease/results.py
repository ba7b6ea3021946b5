"""What the lease calls return."""

from __future__ import annotations

from typing import ClassVar

from etcd_channel import Record, ResponseHeader
from etcd_lease.pb import lease_pb2 as pb

__all__ = ["LeaseInfo", "LeaseRefresh"]


class LeaseRefresh(Record):
    """What the server says of a lease that it has renewed."""

    _fields: ClassVar[tuple[str, ...]] = ("header", "id", "ttl")
    __slots__ = _fields

    header: ResponseHeader
    """Who answered."""
    id: int
    """The id of the lease."""
    ttl: int
    """The seconds for which it lives from now on."""

    def __init__(self, response: pb.LeaseKeepAliveResponse) -> None:
        self.header = ResponseHeader(response.header)
        self.id = response.ID
        self.ttl = response.TTL

    @property
    def ID(self) -> int:
        """The `id`, by etcd's name for it."""
        return self.id

    @property
    def TTL(self) -> int:
        """The `ttl`, by etcd's name for it."""
        return self.ttl


class LeaseInfo(Record):
    """What the server knows of a lease."""

    _fields: ClassVar[tuple[str, ...]] = ("header", "id", "ttl", "granted_ttl", "keys")
    __slots__ = _fields

    header: ResponseHeader
    """Who answered."""
    id: int
    """The id of the lease."""
    ttl: int
    """The whole seconds that are left of its life; 0 in the last one."""
    granted_ttl: int
    """The seconds that it was granted for, and is renewed for."""
    keys: list[bytes]
    """The keys that end with it; empty where they were not asked for."""

    def __init__(self, response: pb.LeaseTimeToLiveResponse) -> None:
        self.header = ResponseHeader(response.header)
        self.id = response.ID
        self.ttl = response.TTL
        self.granted_ttl = response.grantedTTL
        self.keys = list(response.keys)

    @property
    def ID(self) -> int:
        """The `id`, by etcd's name for it."""
        return self.id

    @property
    def TTL(self) -> int:
        """The `ttl`, by etcd's name for it."""
        return self.ttl

    @property
    def grantedTTL(self) -> int:
        """The `granted_ttl`, by etcd's name for it."""
        return self.granted_ttl
