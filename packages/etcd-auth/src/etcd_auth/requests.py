"""From arguments to requests: every check that needs no server, and no I/O."""

from __future__ import annotations

from typing import Final

from etcd_auth.pb import auth_pb2 as pb
from etcd_auth.results import PermissionKind
from etcd_channel import prefix_range_end
from etcd_channel.arguments import (
    check_bytes,
    check_flag,
    check_key,
    check_name,
    check_password,
    check_range_end,
)

__all__ = [
    "LONGEST_PASSWORD",
    "grant_permission_request",
    "revoke_permission_request",
    "user_add_request",
    "user_change_password_request",
]

LONGEST_PASSWORD: Final = 72
"""The most bytes of a password that bcrypt looks at, and so etcd: what follows is ignored by
etcd 3.4 and refused, as an error without a class, by etcd 3.5."""


def user_add_request(user: str, password: str | None) -> pb.AuthUserAddRequest:
    """Build a user, without a password if that is None."""
    request = pb.AuthUserAddRequest(name=check_name("user", user))
    if password is None:
        request.options.no_password = True
    else:
        request.password = _new_password(password, "None makes a user without one")
    return request


def user_change_password_request(user: str, password: str) -> pb.AuthUserChangePasswordRequest:
    """Build the change of a password."""
    return pb.AuthUserChangePasswordRequest(
        name=check_name("user", user),
        password=_new_password(password, "a user has one or was made without"),
    )


def grant_permission_request(
    role: str, kind: PermissionKind, key: bytes, range_end: bytes | None, prefix: bool
) -> pb.AuthRoleGrantPermissionRequest:
    """Build the permission to do `kind` with a key, a range or a prefix."""
    name = check_name("role", role)
    if not isinstance(kind, PermissionKind):
        raise TypeError(
            f"kind must be a PermissionKind ({', '.join(PermissionKind.__members__)}),"
            f" not {type(kind).__name__}"
        )
    start, end = _checked_keys(key, range_end, prefix)
    return pb.AuthRoleGrantPermissionRequest(
        name=name,
        perm=pb.Permission(permType=kind.value, key=start, range_end=end),
    )


def revoke_permission_request(
    role: str, key: bytes, range_end: bytes | None, prefix: bool
) -> pb.AuthRoleRevokePermissionRequest:
    """Build the end of whatever a role may do with a key, a range or a prefix."""
    name = check_name("role", role)
    start, end = _checked_keys(key, range_end, prefix)
    return pb.AuthRoleRevokePermissionRequest(role=name, key=start, range_end=end)


def _new_password(password: object, instead: str) -> str:
    text = check_password("password", password)
    if not text:
        raise ValueError(f"password must not be empty: {instead}")
    length = len(text.encode())
    if length > LONGEST_PASSWORD:
        raise ValueError(
            f"password must be at most {LONGEST_PASSWORD} bytes in UTF-8, not {length}:"
            " bcrypt looks at no more"
        )
    return text


def _checked_keys(key: object, range_end: object, prefix: object) -> tuple[bytes, bytes]:
    """Return the two ends of what a permission is for; the second is empty for one key.

    etcd 3.4 takes a range that is upside down or empty, and the permission is never of
    any use; later ones refuse it as "invalid auth management".
    """
    if check_flag("prefix", prefix):
        if range_end is not None:
            raise ValueError("range_end must be None where prefix=True makes it of the key")
        start = check_bytes("key", key)
        # A range must begin at a key, and the lowest one is a zero byte.
        return start or b"\0", prefix_range_end(start)
    start = check_key("key", key)
    if range_end is None:
        return start, b""
    end = check_range_end(start, "range_end", range_end)
    if end == start != b"\0":
        raise ValueError("range_end must not be the key itself: that range holds no key")
    return start, end
