"""The RPCs of etcd's KV service.

No write is repeatable, not even a put of the same value: it makes a new revision each time.
"""

from __future__ import annotations

from etcd_channel.rpc import Rpc
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["COMPACT", "DELETE_RANGE", "PUT", "RANGE", "RANGE_STREAM", "TXN"]

RANGE = Rpc("/etcdserverpb.KV/Range", pb.RangeRequest, pb.RangeResponse, repeatable=True)
# Begun anew it starts at the range's first key again: only who has yet passed nothing on, or
# asks from behind the last key at the same revision, repeats it.
RANGE_STREAM = Rpc(
    "/etcdserverpb.KV/RangeStream",
    pb.RangeRequest,
    pb.RangeStreamResponse,
    repeatable=True,
    since="3.7",
)
PUT = Rpc("/etcdserverpb.KV/Put", pb.PutRequest, pb.PutResponse)
DELETE_RANGE = Rpc("/etcdserverpb.KV/DeleteRange", pb.DeleteRangeRequest, pb.DeleteRangeResponse)
# Without a write in it a transaction could be repeated; that is for the caller to know.
TXN = Rpc("/etcdserverpb.KV/Txn", pb.TxnRequest, pb.TxnResponse)
# A second one is answered with "required revision has been compacted".
COMPACT = Rpc("/etcdserverpb.KV/Compact", pb.CompactionRequest, pb.CompactionResponse)
