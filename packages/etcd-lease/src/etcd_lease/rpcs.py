"""The RPCs of etcd's Lease service."""

from __future__ import annotations

from etcd_channel.rpc import Rpc
from etcd_lease.pb import lease_pb2 as pb

__all__ = ["GRANT", "KEEP_ALIVE", "LEASES", "REVOKE", "TIME_TO_LIVE"]

# etcd's Go client repeats it. Without an id in the request that makes a second lease and leaks
# the first until its time is up; with one it is answered with "lease already exists".
GRANT = Rpc("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse)
# Repeated after it was applied it is answered with "requested lease not found", which then means
# that it is revoked.
REVOKE = Rpc(
    "/etcdserverpb.Lease/LeaseRevoke",
    pb.LeaseRevokeRequest,
    pb.LeaseRevokeResponse,
    repeatable=True,
)
# A stream in both directions; a keep-alive more only renews once more.
KEEP_ALIVE = Rpc(
    "/etcdserverpb.Lease/LeaseKeepAlive",
    pb.LeaseKeepAliveRequest,
    pb.LeaseKeepAliveResponse,
    repeatable=True,
    endless=True,
)
TIME_TO_LIVE = Rpc(
    "/etcdserverpb.Lease/LeaseTimeToLive",
    pb.LeaseTimeToLiveRequest,
    pb.LeaseTimeToLiveResponse,
    repeatable=True,
    since="3.1",
)
LEASES = Rpc(
    "/etcdserverpb.Lease/LeaseLeases",
    pb.LeaseLeasesRequest,
    pb.LeaseLeasesResponse,
    repeatable=True,
    since="3.3",
)
