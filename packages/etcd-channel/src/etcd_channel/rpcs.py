"""The one RPC that the channel sends by itself: a password for a token."""

from __future__ import annotations

from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpc import Rpc

__all__ = ["AUTHENTICATE"]

# Not in the list of etcd's Go client; but a token that was made and whose answer was lost
# is one that nobody uses, and it ends by itself.
AUTHENTICATE = Rpc(
    "/etcdserverpb.Auth/Authenticate",
    pb.AuthenticateRequest,
    pb.AuthenticateResponse,
    repeatable=True,
)
