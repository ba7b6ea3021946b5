"""Checks arguments and builds requests; no I/O."""

from __future__ import annotations

from typing import Final

from etcd_auth.pb import auth_pb2 as pb
from etcd_auth.results import PermissionKind
from etcd_channel.arguments import (
    check_flag,
    check_key,
    check_name,
    check_password,
    check_prefix,
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
"""The number of bytes of a password that bcrypt uses: etcd 3.4 ignores the rest, etcd 3.5 refuses a
longer password with an unspecific error."""


def user_add_request(user: str, password: str | None) -> pb.AuthUserAddRequest:
    """Build the request to add a user; `password` None adds one without a password."""
    request = pb.AuthUserAddRequest(name=check_name("user", user))
    if password is None:
        request.options.no_password = True
    else:
        request.password = _new_password(password, "None makes a user without a password")
    return request


def user_change_password_request(user: str, password: str) -> pb.AuthUserChangePasswordRequest:
    """Build the request to change a password."""
    return pb.AuthUserChangePasswordRequest(
        name=check_name("user", user),
        password=_new_password(password, "a user cannot be left without one"),
    )


def grant_permission_request(
    role: str, kind: PermissionKind, key: bytes, range_end: bytes | None, prefix: bool
) -> pb.AuthRoleGrantPermissionRequest:
    """Build the request to grant the permission `kind` for a key, a range or a prefix."""
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
    """Build the request to revoke a role's permission for a key, a range or a prefix."""
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
            " bcrypt uses no more"
        )
    return text


def _checked_keys(key: object, range_end: object, prefix: object) -> tuple[bytes, bytes]:
    """Return the range of a permission; its end is empty for one key.

    etcd 3.4 accepts a range that is empty or ends before its start, which never matches a key;
    later versions refuse it as "invalid auth management".
    """
    if check_flag("prefix", prefix):
        if range_end is not None:
            raise ValueError(
                "range_end must be None with prefix=True, which computes it from the key"
            )
        return check_prefix("key", key)
    start = check_key("key", key)
    if range_end is None:
        return start, b""
    end = check_range_end(start, "range_end", range_end)
    if end == start != b"\0":
        raise ValueError("range_end must not be the key itself: that range is empty")
    return start, end
