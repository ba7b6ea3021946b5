"""The RPCs of etcd's own Lock and Election services.

LOCK and CAMPAIGN are not repeatable: without a lease in the request the server grants one for each
attempt, and a lock acquired by the first attempt would stay locked until its lease ends.
"""

from __future__ import annotations

from etcd_channel.keys import KeyFields, Keys
from etcd_channel.rpc import Rpc
from etcd_lock.pb import v3election_pb2, v3lock_pb2

__all__ = ["CAMPAIGN", "LEADER", "LOCK", "OBSERVE", "PROCLAIM", "RESIGN", "UNLOCK"]

_NAME = KeyFields("name")
_KEY = KeyFields("key")
_LEADER_KEY = KeyFields("name", "key")
_LEADER = KeyFields(within={"leader": _LEADER_KEY})
_LEADER_KV = KeyFields(within={"kv": _KEY})

LOCK = Rpc(
    "/v3lockpb.Lock/Lock",
    v3lock_pb2.LockRequest,
    v3lock_pb2.LockResponse,
    unbounded=True,
    since="3.2",
    keys=Keys(_NAME, _KEY),
)
UNLOCK = Rpc(
    "/v3lockpb.Lock/Unlock",
    v3lock_pb2.UnlockRequest,
    v3lock_pb2.UnlockResponse,
    since="3.2",
    keys=Keys(_KEY),
)

CAMPAIGN = Rpc(
    "/v3electionpb.Election/Campaign",
    v3election_pb2.CampaignRequest,
    v3election_pb2.CampaignResponse,
    unbounded=True,
    since="3.2",
    keys=Keys(_NAME, _LEADER),
)
PROCLAIM = Rpc(
    "/v3electionpb.Election/Proclaim",
    v3election_pb2.ProclaimRequest,
    v3election_pb2.ProclaimResponse,
    since="3.2",
    keys=Keys(_LEADER),
)
LEADER = Rpc(
    "/v3electionpb.Election/Leader",
    v3election_pb2.LeaderRequest,
    v3election_pb2.LeaderResponse,
    repeatable=True,
    since="3.2",
    keys=Keys(_NAME, _LEADER_KV),
)
OBSERVE = Rpc(
    "/v3electionpb.Election/Observe",
    v3election_pb2.LeaderRequest,
    v3election_pb2.LeaderResponse,
    repeatable=True,
    unbounded=True,
    since="3.2",
    keys=Keys(_NAME, _LEADER_KV),
)
RESIGN = Rpc(
    "/v3electionpb.Election/Resign",
    v3election_pb2.ResignRequest,
    v3election_pb2.ResignResponse,
    since="3.2",
    keys=Keys(_LEADER),
)
