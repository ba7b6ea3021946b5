"""The RPCs of etcd's KV service.

No write is repeatable, not even a put of the same value: each put creates a new revision.
"""

from __future__ import annotations

from etcd_channel.keys import NO_KEYS, KeyFields, Keys
from etcd_channel.rpc import Rpc
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["COMPACT", "DELETE_RANGE", "PUT", "RANGE", "RANGE_STREAM", "TXN"]

_KEY = KeyFields("key")
_KEY_RANGE = KeyFields("key", range_end="range_end")
_FOUND = KeyFields(within={"kvs": _KEY})
_REPLACED = KeyFields(within={"prev_kv": _KEY})
_DELETED = KeyFields(within={"prev_kvs": _KEY})

# A transaction may be an operation of a transaction, so these are completed below.
_request_ops = {
    "request_range": _KEY_RANGE,
    "request_put": _KEY,
    "request_delete_range": _KEY_RANGE,
}
_response_ops = {
    "response_range": _FOUND,
    "response_put": _REPLACED,
    "response_delete_range": _DELETED,
}
_OPERATIONS = KeyFields(within=_request_ops)
_TXN = KeyFields(within={"compare": _KEY_RANGE, "success": _OPERATIONS, "failure": _OPERATIONS})
_TXN_RESULT = KeyFields(within={"responses": KeyFields(within=_response_ops)})
_request_ops["request_txn"] = _TXN
_response_ops["response_txn"] = _TXN_RESULT

RANGE = Rpc(
    "/etcdserverpb.KV/Range",
    pb.RangeRequest,
    pb.RangeResponse,
    repeatable=True,
    keys=Keys(_KEY_RANGE, _FOUND),
)
# A repeated call starts at the first key of the range again: repeat it only before the first part
# was returned to the caller, or from after the last key at the same revision.
RANGE_STREAM = Rpc(
    "/etcdserverpb.KV/RangeStream",
    pb.RangeRequest,
    pb.RangeStreamResponse,
    repeatable=True,
    since="3.7",
    keys=Keys(_KEY_RANGE, KeyFields(within={"range_response": _FOUND})),
)
PUT = Rpc("/etcdserverpb.KV/Put", pb.PutRequest, pb.PutResponse, keys=Keys(_KEY, _REPLACED))
DELETE_RANGE = Rpc(
    "/etcdserverpb.KV/DeleteRange",
    pb.DeleteRangeRequest,
    pb.DeleteRangeResponse,
    keys=Keys(_KEY_RANGE, _DELETED),
)
# A transaction without writes could be repeated, but only the caller knows that it has none.
TXN = Rpc("/etcdserverpb.KV/Txn", pb.TxnRequest, pb.TxnResponse, keys=Keys(_TXN, _TXN_RESULT))
# A repeated call is refused with "required revision has been compacted".
COMPACT = Rpc("/etcdserverpb.KV/Compact", pb.CompactionRequest, pb.CompactionResponse, keys=NO_KEYS)
