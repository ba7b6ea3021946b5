"""etcd's authentication service for asyncio: users, roles, permissions.

from etcd_auth import AuthClient, PermissionKind
from etcd_channel import Channel

async with Channel("localhost:2379", username="root", password="…") as channel:
    auth = AuthClient(channel)
    await auth.role_add("reader")
    await auth.role_grant_permission("reader", PermissionKind.READ, b"/app/", prefix=True)
    await auth.user_add("app", "…")
    await auth.user_grant_role("app", "reader")
"""

from etcd_auth.client import AuthClient
from etcd_auth.results import AuthStatus, Permission, PermissionKind, Role, User

__version__ = "0.1.0"

__all__ = ["AuthClient", "AuthStatus", "Permission", "PermissionKind", "Role", "User"]
