"""The RPCs of etcd's own Lock and Election services.

Neither LOCK nor CAMPAIGN is repeatable: without a lease in the request each makes one of its own,
and what the first has taken would stay taken until that lease ends.
"""

from __future__ import annotations

from etcd_channel.rpc import Rpc
from etcd_lock.pb import v3election_pb2, v3lock_pb2

__all__ = ["CAMPAIGN", "LEADER", "LOCK", "OBSERVE", "PROCLAIM", "RESIGN", "UNLOCK"]

LOCK = Rpc(
    "/v3lockpb.Lock/Lock",
    v3lock_pb2.LockRequest,
    v3lock_pb2.LockResponse,
    endless=True,
    since="3.2",
)
UNLOCK = Rpc(
    "/v3lockpb.Lock/Unlock",
    v3lock_pb2.UnlockRequest,
    v3lock_pb2.UnlockResponse,
    since="3.2",
)

CAMPAIGN = Rpc(
    "/v3electionpb.Election/Campaign",
    v3election_pb2.CampaignRequest,
    v3election_pb2.CampaignResponse,
    endless=True,
    since="3.2",
)
PROCLAIM = Rpc(
    "/v3electionpb.Election/Proclaim",
    v3election_pb2.ProclaimRequest,
    v3election_pb2.ProclaimResponse,
    since="3.2",
)
LEADER = Rpc(
    "/v3electionpb.Election/Leader",
    v3election_pb2.LeaderRequest,
    v3election_pb2.LeaderResponse,
    repeatable=True,
    since="3.2",
)
OBSERVE = Rpc(
    "/v3electionpb.Election/Observe",
    v3election_pb2.LeaderRequest,
    v3election_pb2.LeaderResponse,
    repeatable=True,
    endless=True,
    since="3.2",
)
RESIGN = Rpc(
    "/v3electionpb.Election/Resign",
    v3election_pb2.ResignRequest,
    v3election_pb2.ResignResponse,
    since="3.2",
)
