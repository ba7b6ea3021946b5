"""The RPCs of etcd's Lease service."""

from __future__ import annotations

from etcd_channel.keys import NO_KEYS, KeyFields, Keys
from etcd_channel.rpc import Rpc
from etcd_lease.pb import lease_pb2 as pb

__all__ = ["GRANT", "KEEP_ALIVE", "LEASES", "REVOKE", "TIME_TO_LIVE"]

# etcd's Go client repeats it. Without an id in the request, a repetition grants a second lease and
# leaks the first until it expires; with an id it is answered with "lease already exists".
GRANT = Rpc(
    "/etcdserverpb.Lease/LeaseGrant",
    pb.LeaseGrantRequest,
    pb.LeaseGrantResponse,
    keys=NO_KEYS,
)
# A repetition after it was applied is answered with "requested lease not found", which means that
# the lease is revoked.
REVOKE = Rpc(
    "/etcdserverpb.Lease/LeaseRevoke",
    pb.LeaseRevokeRequest,
    pb.LeaseRevokeResponse,
    repeatable=True,
    keys=NO_KEYS,
)
# A bidirectional stream. Repeating a keep-alive does no harm.
KEEP_ALIVE = Rpc(
    "/etcdserverpb.Lease/LeaseKeepAlive",
    pb.LeaseKeepAliveRequest,
    pb.LeaseKeepAliveResponse,
    repeatable=True,
    unbounded=True,
    duplex=True,
    keys=NO_KEYS,
)
TIME_TO_LIVE = Rpc(
    "/etcdserverpb.Lease/LeaseTimeToLive",
    pb.LeaseTimeToLiveRequest,
    pb.LeaseTimeToLiveResponse,
    repeatable=True,
    since="3.1",
    keys=Keys(response=KeyFields("keys")),
)
LEASES = Rpc(
    "/etcdserverpb.Lease/LeaseLeases",
    pb.LeaseLeasesRequest,
    pb.LeaseLeasesResponse,
    repeatable=True,
    since="3.3",
    keys=NO_KEYS,
)
