"""Names of gRPC and of etcd's messages that programs import from the module `aetcd.rpc`.

This part of that module is not documented: gRPC's errors and status codes, and the messages with
enums. The messages are this client's own, with etcd's field names, and do not register etcd's names
in the protobuf pool. Calls raise the errors of `aetcd.exceptions`; an `AioRpcError` is their
`__cause__`.
"""

from grpc import RpcError, StatusCode
from grpc.aio import AioRpcError

from etcd_auth.pb.auth_pb2 import Permission
from etcd_channel.pb.common_pb2 import KeyValue, ResponseHeader
from etcd_cluster.pb.maintenance_pb2 import (
    CORRUPT,
    NONE,
    NOSPACE,
    AlarmMember,
    AlarmRequest,
    AlarmType,
)
from etcd_kv.pb.kv_pb2 import Compare, RangeRequest
from etcd_watch.pb.watch_pb2 import Event, WatchCreateRequest

__all__ = [
    "CORRUPT",
    "NONE",
    "NOSPACE",
    "AioRpcError",
    "AlarmMember",
    "AlarmRequest",
    "AlarmType",
    "Compare",
    "Event",
    "KeyValue",
    "Permission",
    "RangeRequest",
    "ResponseHeader",
    "RpcError",
    "StatusCode",
    "WatchCreateRequest",
]
