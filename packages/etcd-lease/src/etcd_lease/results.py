"""The results of the lease calls."""

from __future__ import annotations

from dataclasses import dataclass

from etcd_channel import ResponseHeader
from etcd_lease.pb import lease_pb2 as pb

__all__ = ["LeaseInfo", "LeaseRefresh"]


@dataclass(frozen=True, slots=True)
class _LeaseResult:
    header: ResponseHeader
    """The member that answered, and the revision of its store."""
    id: int
    """The id of the lease."""
    ttl: int
    """The remaining seconds until it expires, rounded down."""

    @property
    def ID(self) -> int:
        """The `id`, under etcd's name for it."""
        return self.id

    @property
    def TTL(self) -> int:
        """The `ttl`, under etcd's name for it."""
        return self.ttl


@dataclass(frozen=True, slots=True)
class LeaseRefresh(_LeaseResult):
    """The result of the renewal of a lease."""

    @classmethod
    def from_message(cls, message: pb.LeaseKeepAliveResponse) -> LeaseRefresh:
        """Make one of a response."""
        return cls(ResponseHeader(message.header), message.ID, message.TTL)


@dataclass(frozen=True, slots=True)
class LeaseInfo(_LeaseResult):
    """The state of a lease on the server; not hashable, because `keys` is a list."""

    granted_ttl: int
    """The time to live in seconds, which the lease has again after each renewal."""
    keys: list[bytes]
    """The keys attached to it; empty if they were not requested."""

    @classmethod
    def from_message(cls, message: pb.LeaseTimeToLiveResponse) -> LeaseInfo:
        """Make one of a response."""
        header = ResponseHeader(message.header)
        return cls(header, message.ID, message.TTL, message.grantedTTL, list(message.keys))

    @property
    def grantedTTL(self) -> int:
        """The `granted_ttl`, under etcd's name for it."""
        return self.granted_ttl
