"""The results of the authentication calls."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from etcd_auth.pb import auth_pb2 as pb

__all__ = ["AuthStatus", "Permission", "PermissionKind", "Role", "User"]

# Sets a field of a frozen dataclass in its constructor, which converts an iterable to a tuple.
_set = object.__setattr__


class PermissionKind(enum.Enum):
    """The access that a permission allows; the values are etcd's names."""

    READ = "READ"
    WRITE = "WRITE"
    READWRITE = "READWRITE"


@dataclass(frozen=True, slots=True)
class Permission:
    """The access of a role to a key, or to a range of keys."""

    kind: PermissionKind
    """Read, write, or both."""
    key: bytes
    """The key, or the first key of the range."""
    range_end: bytes | None = None
    """The first key after the range; `b"\\0"` is the end of all keys, None means one key."""

    @classmethod
    def from_message(cls, message: pb.Permission) -> Permission:
        """Make a permission from a message."""
        kind = PermissionKind(pb.Permission.Type.Name(message.permType))
        return cls(kind, message.key, message.range_end or None)


@dataclass(frozen=True, slots=True, init=False)
class User:
    """A user and the roles that were granted to it."""

    name: str
    """The user's name."""
    roles: tuple[str, ...]
    """The names of its roles, sorted."""

    def __init__(self, name: str, roles: Iterable[str]) -> None:
        _set(self, "name", name)
        _set(self, "roles", tuple(roles))


@dataclass(frozen=True, slots=True, init=False)
class Role:
    """A role and the permissions that were granted to it."""

    name: str
    """The role's name."""
    permissions: tuple[Permission, ...]
    """Its permissions, ordered by their keys."""

    def __init__(self, name: str, permissions: Iterable[Permission]) -> None:
        _set(self, "name", name)
        _set(self, "permissions", tuple(permissions))


@dataclass(frozen=True, slots=True)
class AuthStatus:
    """Whether authentication is enabled on a cluster."""

    enabled: bool
    """Whether authentication is enabled."""
    revision: int
    """A number that every change of users, roles and permissions increases."""
