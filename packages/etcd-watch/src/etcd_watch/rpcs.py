"""The RPC of etcd's Watch service."""

from __future__ import annotations

from etcd_channel.rpc import Rpc
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["WATCH"]

# A stream in both directions, which changes nothing in the cluster. What has to be asked again
# after a break, and from which revision, is the reader's knowledge.
WATCH = Rpc(
    "/etcdserverpb.Watch/Watch",
    pb.WatchRequest,
    pb.WatchResponse,
    repeatable=True,
    endless=True,
)
