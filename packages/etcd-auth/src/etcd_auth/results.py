"""What the authentication calls return."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from etcd_auth.pb import auth_pb2 as pb
from etcd_channel import Record

__all__ = ["AuthStatus", "Permission", "PermissionKind", "Role", "User"]


class PermissionKind(enum.Enum):
    """What a permission allows; the values are etcd's own names."""

    READ = "READ"
    WRITE = "WRITE"
    READWRITE = "READWRITE"


class Permission(Record):
    """What a role may do with a key, or with a range of keys."""

    __slots__ = _fields = ("kind", "key", "range_end")

    kind: PermissionKind
    """Reading, writing, or both."""
    key: bytes
    """The key, or the first one of the range."""
    range_end: bytes | None
    """The first key behind the range; `b"\\0"` for the end of all keys, None for one key."""

    def __init__(self, kind: PermissionKind, key: bytes, range_end: bytes | None = None) -> None:
        self.kind = kind
        self.key = key
        self.range_end = range_end

    @classmethod
    def from_message(cls, message: pb.Permission) -> Permission:
        """Make it of what came over the wire."""
        kind = PermissionKind(pb.Permission.Type.Name(message.permType))
        return cls(kind, message.key, message.range_end or None)


class User(Record):
    """A user and the roles that were granted to it."""

    __slots__ = _fields = ("name", "roles")

    name: str
    """The user's name."""
    roles: tuple[str, ...]
    """The names of its roles, sorted."""

    def __init__(self, name: str, roles: Iterable[str]) -> None:
        self.name = name
        self.roles = tuple(roles)


class Role(Record):
    """A role and the permissions that were granted to it."""

    __slots__ = _fields = ("name", "permissions")

    name: str
    """The role's name."""
    permissions: tuple[Permission, ...]
    """Its permissions, ordered by their keys."""

    def __init__(self, name: str, permissions: Iterable[Permission]) -> None:
        self.name = name
        self.permissions = tuple(permissions)


class AuthStatus(Record):
    """Whether a cluster asks its callers who they are."""

    __slots__ = _fields = ("enabled", "revision")

    enabled: bool
    """Whether authentication is enabled."""
    revision: int
    """A number that grows with every change of users, roles and permissions."""

    def __init__(self, enabled: bool, revision: int) -> None:
        self.enabled = enabled
        self.revision = revision
