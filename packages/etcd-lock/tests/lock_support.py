"""What the tests of the locks share."""

from __future__ import annotations

from dataclasses import dataclass

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock import LockClient, ServerLockClient

__all__ = ["Program"]


@dataclass
class Program:
    """One program's clients, on a channel of its own."""

    channel: Channel

    def __post_init__(self) -> None:
        self.kv = KVClient(self.channel)
        self.leases = LeaseClient(self.channel)
        self.locks = LockClient(self.channel)
        self.server_side = ServerLockClient(self.channel)
