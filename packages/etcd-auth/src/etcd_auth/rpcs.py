"""The RPCs of etcd's Auth service; Authenticate is in etcd_channel.rpcs."""

from __future__ import annotations

from etcd_auth.pb import auth_pb2 as pb
from etcd_channel.rpc import Rpc

__all__ = [
    "DISABLE",
    "ENABLE",
    "ROLE_ADD",
    "ROLE_DELETE",
    "ROLE_GET",
    "ROLE_GRANT_PERMISSION",
    "ROLE_LIST",
    "ROLE_REVOKE_PERMISSION",
    "STATUS",
    "USER_ADD",
    "USER_CHANGE_PASSWORD",
    "USER_DELETE",
    "USER_GET",
    "USER_GRANT_ROLE",
    "USER_LIST",
    "USER_REVOKE_ROLE",
]

ENABLE = Rpc("/etcdserverpb.Auth/AuthEnable", pb.AuthEnableRequest, pb.AuthEnableResponse)
DISABLE = Rpc("/etcdserverpb.Auth/AuthDisable", pb.AuthDisableRequest, pb.AuthDisableResponse)
# It is a read, although etcd's Go client does not repeat it.
STATUS = Rpc(
    "/etcdserverpb.Auth/AuthStatus",
    pb.AuthStatusRequest,
    pb.AuthStatusResponse,
    repeatable=True,
    since="3.5",
)

USER_ADD = Rpc("/etcdserverpb.Auth/UserAdd", pb.AuthUserAddRequest, pb.AuthUserAddResponse)
USER_GET = Rpc(
    "/etcdserverpb.Auth/UserGet", pb.AuthUserGetRequest, pb.AuthUserGetResponse, repeatable=True
)
USER_LIST = Rpc(
    "/etcdserverpb.Auth/UserList", pb.AuthUserListRequest, pb.AuthUserListResponse, repeatable=True
)
USER_DELETE = Rpc(
    "/etcdserverpb.Auth/UserDelete", pb.AuthUserDeleteRequest, pb.AuthUserDeleteResponse
)
USER_CHANGE_PASSWORD = Rpc(
    "/etcdserverpb.Auth/UserChangePassword",
    pb.AuthUserChangePasswordRequest,
    pb.AuthUserChangePasswordResponse,
)
USER_GRANT_ROLE = Rpc(
    "/etcdserverpb.Auth/UserGrantRole", pb.AuthUserGrantRoleRequest, pb.AuthUserGrantRoleResponse
)
USER_REVOKE_ROLE = Rpc(
    "/etcdserverpb.Auth/UserRevokeRole",
    pb.AuthUserRevokeRoleRequest,
    pb.AuthUserRevokeRoleResponse,
)

ROLE_ADD = Rpc("/etcdserverpb.Auth/RoleAdd", pb.AuthRoleAddRequest, pb.AuthRoleAddResponse)
ROLE_GET = Rpc(
    "/etcdserverpb.Auth/RoleGet", pb.AuthRoleGetRequest, pb.AuthRoleGetResponse, repeatable=True
)
ROLE_LIST = Rpc(
    "/etcdserverpb.Auth/RoleList", pb.AuthRoleListRequest, pb.AuthRoleListResponse, repeatable=True
)
ROLE_DELETE = Rpc(
    "/etcdserverpb.Auth/RoleDelete", pb.AuthRoleDeleteRequest, pb.AuthRoleDeleteResponse
)
ROLE_GRANT_PERMISSION = Rpc(
    "/etcdserverpb.Auth/RoleGrantPermission",
    pb.AuthRoleGrantPermissionRequest,
    pb.AuthRoleGrantPermissionResponse,
)
ROLE_REVOKE_PERMISSION = Rpc(
    "/etcdserverpb.Auth/RoleRevokePermission",
    pb.AuthRoleRevokePermissionRequest,
    pb.AuthRoleRevokePermissionResponse,
)
