"""The services that a lock uses, on one channel."""

from __future__ import annotations

from etcd_channel import ChannelLike
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock._local_lock import local_locks
from etcd_watch import WatchClient

__all__ = ["Services"]


class Services:
    """Keys, leases, watches and local locks on a channel.

    Every release is awaited by `run_to_completion`, so that the channel is not closed before its
    end.
    """

    def __init__(self, channel: ChannelLike) -> None:
        self.kv = KVClient(channel)
        self.leases = LeaseClient(channel)
        self.watches = WatchClient(channel)
        self.local_locks = channel.shared(local_locks)
        self.run_to_completion = channel.run_to_completion
        self.observer = channel.observer
