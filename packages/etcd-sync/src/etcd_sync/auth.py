"""`AuthClient` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import etcd_client
from etcd_client import AuthStatus, PermissionKind, ResponseHeader, Role, User
from etcd_sync._handle import Service

__all__ = ["AuthClient"]


class AuthClient(Service):
    """etcd's authentication service: users, their roles, the roles' permissions.

    The methods are named after etcd's RPCs. Users and roles can be added before authentication is
    enabled; once it is enabled, these calls need the role root, except `user_get` of the caller's
    own user and `role_get` of its own roles.

    `timeout` is the number of seconds that a call may take; None means the client's timeout. A call
    that fails raises a `ClientError`: `PermissionDeniedError` without the role root,
    `EmptyUserNameError` without a user name on a cluster with authentication. Reads are repeated on
    another member when one fails, changes are not: after an error of a change that is not
    `definite`, and after its interruption, it may have been applied.

    A change invalidates the tokens of all users, or of the user concerned; the client fetches new
    tokens, and other calls continue without an error. Passwords never appear in a repr, an error or
    a log of the client.
    """

    _inner: etcd_client.Client

    def auth_enable(self, *, timeout: float | None = None) -> ResponseHeader:
        """Enable authentication: from then on every call needs a user.

        A client without a user name and a password, and without a client certificate that names a
        user, cannot make calls then. Raises `RootUserMissingError` if there is no user root,
        `RootRoleMissingError` if that user does not have the role root.
        """
        return self._portal.run(self._inner.auth_enable, timeout=timeout)

    def auth_disable(self, *, timeout: float | None = None) -> ResponseHeader:
        """Disable authentication: every client may do everything. Users and roles are kept."""
        return self._portal.run(self._inner.auth_disable, timeout=timeout)

    def auth_status(self, *, timeout: float | None = None) -> AuthStatus:
        """Return whether authentication is enabled, and its revision.

        The call needs the role root if it is enabled. Raises `UnsupportedByServerError` on etcd
        3.4.
        """
        return self._portal.run(self._inner.auth_status, timeout=timeout)

    def user_add(
        self, user: str, password: str | None = None, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Add a user without roles.

        A `password` has 1 to 72 bytes in UTF-8. None adds a user that can authenticate only by the
        common name of a client certificate; `user_change_password` does not change that. Raises
        `UserExistsError`.
        """
        return self._portal.run(self._inner.user_add, user, password, timeout=timeout)

    def user_get(self, user: str, *, timeout: float | None = None) -> User:
        """Return a user with its roles. Raises `UserNotFoundError`."""
        return self._portal.run(self._inner.user_get, user, timeout=timeout)

    def user_list(self, *, timeout: float | None = None) -> list[str]:
        """Return the names of all users, sorted."""
        return self._portal.run(self._inner.user_list, timeout=timeout)

    def user_delete(self, user: str, *, timeout: float | None = None) -> ResponseHeader:
        """Delete a user; its tokens are invalid immediately.

        Raises `UserNotFoundError`, and `InvalidAuthManagementError` for the user root while
        authentication is enabled.
        """
        return self._portal.run(self._inner.user_delete, user, timeout=timeout)

    def user_change_password(
        self, user: str, password: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Change the password of a user; the new password has 1 to 72 bytes in UTF-8.

        Clients with the old password get `AuthFailedError` from then on. If `user` is the user of
        this client, the client uses the new password, also if the outcome of this call is unknown
        and the old one is refused. Raises `UserNotFoundError`.
        """
        return self._portal.run(self._inner.user_change_password, user, password, timeout=timeout)

    def user_grant_role(
        self, user: str, role: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Grant a role to a user; does nothing if the user has it already.

        The role root exists without `role_add`. Raises `UserNotFoundError`, `RoleNotFoundError`.
        """
        return self._portal.run(self._inner.user_grant_role, user, role, timeout=timeout)

    def user_revoke_role(
        self, user: str, role: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Revoke a role from a user.

        Raises `UserNotFoundError`, `RoleNotGrantedError`, and `InvalidAuthManagementError` for the
        role root of the user root while authentication is enabled.
        """
        return self._portal.run(self._inner.user_revoke_role, user, role, timeout=timeout)

    def role_add(self, role: str, *, timeout: float | None = None) -> ResponseHeader:
        """Add a role without permissions. Raises `RoleExistsError`."""
        return self._portal.run(self._inner.role_add, role, timeout=timeout)

    def role_get(self, role: str, *, timeout: float | None = None) -> Role:
        """Return a role with its permissions.

        Raises `RoleNotFoundError`, also for the role root, which has all permissions, unless it was
        added by `role_add`.
        """
        return self._portal.run(self._inner.role_get, role, timeout=timeout)

    def role_list(self, *, timeout: float | None = None) -> list[str]:
        """Return the names of all roles, sorted."""
        return self._portal.run(self._inner.role_list, timeout=timeout)

    def role_delete(self, role: str, *, timeout: float | None = None) -> ResponseHeader:
        """Delete a role, and revoke it from all users.

        Raises `RoleNotFoundError`, and `InvalidAuthManagementError` for the role root while
        authentication is enabled.
        """
        return self._portal.run(self._inner.role_delete, role, timeout=timeout)

    def role_grant_permission(
        self,
        role: str,
        kind: PermissionKind,
        key: bytes,
        range_end: bytes | None = None,
        *,
        prefix: bool = False,
        timeout: float | None = None,
    ) -> ResponseHeader:
        r"""Grant a role the permission to read, to write, or both.

        The permission is for one `key`, for the keys from `key` up to `range_end`, exclusive
        (`b"\0"` means the end of all keys), or, with `prefix=True`, for all keys that begin with
        `key` (`b""` matches every key). It replaces a permission of the role for exactly the same
        key or range. Raises `RoleNotFoundError`.
        """
        return self._portal.run(
            self._inner.role_grant_permission,
            role,
            kind,
            key,
            range_end,
            prefix=prefix,
            timeout=timeout,
        )

    def role_revoke_permission(
        self,
        role: str,
        key: bytes,
        range_end: bytes | None = None,
        *,
        prefix: bool = False,
        timeout: float | None = None,
    ) -> ResponseHeader:
        """Revoke a permission of a role for a key, a range or a prefix.

        The arguments are those of `role_grant_permission`, and must match one permission exactly: a
        part of a range cannot be revoked. Raises `RoleNotFoundError`, `PermissionNotGrantedError`.
        """
        return self._portal.run(
            self._inner.role_revoke_permission, role, key, range_end, prefix=prefix, timeout=timeout
        )
