"""The RPCs of etcd's Cluster and Maintenance services.

Status, Defragment, Hash, HashKV and Snapshot concern the member that they are sent to, so a call
with an `endpoint` is repeated only there.
"""

from __future__ import annotations

from etcd_channel.rpc import Rpc
from etcd_cluster.pb import cluster_pb2, maintenance_pb2

__all__ = [
    "ALARM",
    "DEFRAGMENT",
    "DOWNGRADE",
    "HASH",
    "HASH_KV",
    "MEMBER_ADD",
    "MEMBER_LIST",
    "MEMBER_PROMOTE",
    "MEMBER_REMOVE",
    "MEMBER_UPDATE",
    "MOVE_LEADER",
    "SNAPSHOT",
    "STATUS",
]

MEMBER_ADD = Rpc(
    "/etcdserverpb.Cluster/MemberAdd",
    cluster_pb2.MemberAddRequest,
    cluster_pb2.MemberAddResponse,
)
MEMBER_REMOVE = Rpc(
    "/etcdserverpb.Cluster/MemberRemove",
    cluster_pb2.MemberRemoveRequest,
    cluster_pb2.MemberRemoveResponse,
)
MEMBER_UPDATE = Rpc(
    "/etcdserverpb.Cluster/MemberUpdate",
    cluster_pb2.MemberUpdateRequest,
    cluster_pb2.MemberUpdateResponse,
)
MEMBER_LIST = Rpc(
    "/etcdserverpb.Cluster/MemberList",
    cluster_pb2.MemberListRequest,
    cluster_pb2.MemberListResponse,
    repeatable=True,
)
MEMBER_PROMOTE = Rpc(
    "/etcdserverpb.Cluster/MemberPromote",
    cluster_pb2.MemberPromoteRequest,
    cluster_pb2.MemberPromoteResponse,
    since="3.4",
)

# etcd's Go client repeats it. Only its GET is a read; a repeated activation or deactivation may
# change a newer alarm than the caller meant.
ALARM = Rpc(
    "/etcdserverpb.Maintenance/Alarm",
    maintenance_pb2.AlarmRequest,
    maintenance_pb2.AlarmResponse,
)
STATUS = Rpc(
    "/etcdserverpb.Maintenance/Status",
    maintenance_pb2.StatusRequest,
    maintenance_pb2.StatusResponse,
    repeatable=True,
)
# The member answers no other call meanwhile, which takes long with a large database.
DEFRAGMENT = Rpc(
    "/etcdserverpb.Maintenance/Defragment",
    maintenance_pb2.DefragmentRequest,
    maintenance_pb2.DefragmentResponse,
    unbounded=True,
)
HASH = Rpc(
    "/etcdserverpb.Maintenance/Hash",
    maintenance_pb2.HashRequest,
    maintenance_pb2.HashResponse,
    repeatable=True,
)
HASH_KV = Rpc(
    "/etcdserverpb.Maintenance/HashKV",
    maintenance_pb2.HashKVRequest,
    maintenance_pb2.HashKVResponse,
    repeatable=True,
    since="3.3",
)
# A repetition makes a new snapshot; the data received from the first one is discarded.
SNAPSHOT = Rpc(
    "/etcdserverpb.Maintenance/Snapshot",
    maintenance_pb2.SnapshotRequest,
    maintenance_pb2.SnapshotResponse,
    repeatable=True,
    unbounded=True,
    since="3.3",
)
# etcd's Go client repeats it. After a success, the member that was called is no longer the leader
# and answers a repetition with an error; if it leads again by then, it would give up the leadership
# once more.
MOVE_LEADER = Rpc(
    "/etcdserverpb.Maintenance/MoveLeader",
    maintenance_pb2.MoveLeaderRequest,
    maintenance_pb2.MoveLeaderResponse,
    since="3.3",
)
DOWNGRADE = Rpc(
    "/etcdserverpb.Maintenance/Downgrade",
    maintenance_pb2.DowngradeRequest,
    maintenance_pb2.DowngradeResponse,
    since="3.5",
)
