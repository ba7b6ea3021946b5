"""The services that a lock is made of, on one channel."""

from __future__ import annotations

from etcd_channel import Channel, Service
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock._turns import Turns
from etcd_watch import WatchClient

__all__ = ["Services"]


class Services:
    """Keys, leases, watches and turns on the channel of `client`, whichever client that is."""

    def __init__(self, client: Channel | Service) -> None:
        channel = client.channel if isinstance(client, Service) else client
        if not isinstance(channel, Channel):
            raise TypeError(f"client must be a client or a Channel, not {type(client).__name__}")
        self.kv = KVClient(channel)
        self.leases = LeaseClient(channel)
        self.watches = WatchClient(channel)
        self.turns = channel.shared(Turns)
