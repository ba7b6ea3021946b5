"""The RPC of etcd's Watch service."""

from __future__ import annotations

from etcd_channel.keys import KeyFields, Keys
from etcd_channel.rpc import Rpc
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["WATCH"]

_KEY = KeyFields("key")
_CREATION = KeyFields("key", range_end="range_end")
_EVENT = KeyFields(within={"kv": _KEY, "prev_kv": _KEY})

# Repeatable: a watch changes nothing in the cluster. `WatchStream` knows which watches to create
# again after a break, and from which revisions.
WATCH = Rpc(
    "/etcdserverpb.Watch/Watch",
    pb.WatchRequest,
    pb.WatchResponse,
    repeatable=True,
    unbounded=True,
    duplex=True,
    keys=Keys(
        KeyFields(within={"create_request": _CREATION}), KeyFields(within={"events": _EVENT})
    ),
)
