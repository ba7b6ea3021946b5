"""The RPC that the channel itself calls: Authenticate, which returns a token."""

from __future__ import annotations

from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpc import Rpc

__all__ = ["AUTHENTICATE"]

# etcd's Go client does not repeat it. Repeating is harmless: a token whose response was lost is
# never used, and expires.
AUTHENTICATE = Rpc(
    "/etcdserverpb.Auth/Authenticate",
    pb.AuthenticateRequest,
    pb.AuthenticateResponse,
    repeatable=True,
)
