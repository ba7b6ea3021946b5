"""The authentication service: the client class."""

from __future__ import annotations

from etcd_auth.pb import auth_pb2 as pb
from etcd_auth.requests import (
    grant_permission_request,
    revoke_permission_request,
    user_add_request,
    user_change_password_request,
)
from etcd_auth.results import AuthStatus, Permission, PermissionKind, Role, User
from etcd_auth.rpcs import (
    DISABLE,
    ENABLE,
    ROLE_ADD,
    ROLE_DELETE,
    ROLE_GET,
    ROLE_GRANT_PERMISSION,
    ROLE_LIST,
    ROLE_REVOKE_PERMISSION,
    STATUS,
    USER_ADD,
    USER_CHANGE_PASSWORD,
    USER_DELETE,
    USER_GET,
    USER_GRANT_ROLE,
    USER_LIST,
    USER_REVOKE_ROLE,
)
from etcd_channel import ClientError, ResponseHeader, Service
from etcd_channel.arguments import check_name

__all__ = ["AuthClient"]


class AuthClient(Service):
    """etcd's authentication service on a channel: users, their roles, the roles' permissions.

    The methods are named after etcd's RPCs. Users and roles can be added before authentication is
    enabled; once it is enabled, these calls need the role root, except `user_get` of the caller's
    own user and `role_get` of its own roles.

    `timeout` is the number of seconds that a call may take; None means the channel's timeout. A
    call that fails raises a `ClientError`: `PermissionDeniedError` without the role root,
    `EmptyUserNameError` without a user name on a cluster with authentication. Reads are repeated
    on another member when one fails, changes are not: after an error of a change that is not
    `definite`, and after its cancellation, it may have been applied.

    A change invalidates the tokens of all users, or of the user concerned; the channel fetches new
    tokens, and other calls continue without an error. Passwords never appear in a repr, an error
    or a log of the client.
    """

    # Authentication as a whole ---------------------------------------------------------

    async def auth_enable(self, *, timeout: float | None = None) -> ResponseHeader:
        """Enable authentication: from then on every call needs a user.

        A channel without a user name and a password, and without a client certificate that names
        a user, cannot make calls then. Raises `RootUserMissingError` if there is no user root,
        `RootRoleMissingError` if that user does not have the role root.
        """
        response = await self._channel.call(ENABLE, pb.AuthEnableRequest(), timeout=timeout)
        return ResponseHeader(response.header)

    async def auth_disable(self, *, timeout: float | None = None) -> ResponseHeader:
        """Disable authentication: every client may do everything. Users and roles are kept."""
        response = await self._channel.call(DISABLE, pb.AuthDisableRequest(), timeout=timeout)
        return ResponseHeader(response.header)

    async def auth_status(self, *, timeout: float | None = None) -> AuthStatus:
        """Return whether authentication is enabled, and its revision.

        The call needs the role root if it is enabled. Raises `UnsupportedByServerError` on etcd
        3.4.
        """
        response = await self._channel.call(STATUS, pb.AuthStatusRequest(), timeout=timeout)
        return AuthStatus(response.enabled, response.authRevision)

    # Users -----------------------------------------------------------------------------

    async def user_add(
        self, user: str, password: str | None = None, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Add a user without roles.

        A `password` has 1 to 72 bytes in UTF-8. None adds a user that can authenticate only by the
        common name of a client certificate; `user_change_password` does not change that. Raises
        `UserExistsError`.
        """
        request = user_add_request(user, password)
        response = await self._channel.call(USER_ADD, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def user_get(self, user: str, *, timeout: float | None = None) -> User:
        """Return a user with its roles. Raises `UserNotFoundError`."""
        request = pb.AuthUserGetRequest(name=check_name("user", user))
        response = await self._channel.call(USER_GET, request, timeout=timeout)
        return User(user, response.roles)

    async def user_list(self, *, timeout: float | None = None) -> list[str]:
        """Return the names of all users, sorted."""
        response = await self._channel.call(USER_LIST, pb.AuthUserListRequest(), timeout=timeout)
        return list(response.users)

    async def user_delete(self, user: str, *, timeout: float | None = None) -> ResponseHeader:
        """Delete a user; its tokens are invalid immediately.

        Raises `UserNotFoundError`, and `InvalidAuthManagementError` for the user root while
        authentication is enabled.
        """
        request = pb.AuthUserDeleteRequest(name=check_name("user", user))
        response = await self._channel.call(USER_DELETE, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def user_change_password(
        self, user: str, password: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Change the password of a user; the new password has 1 to 72 bytes in UTF-8.

        Clients with the old password get `AuthFailedError` from then on. If `user` is the user
        of this channel, the channel uses the new password, also if the outcome of this call is
        unknown and the old one is refused. Raises `UserNotFoundError`.
        """
        request = user_change_password_request(user, password)
        is_own = user == self._channel.username
        if is_own:
            # Other calls may need another token before the response has arrived.
            self._channel.use_password(password, if_refused=True)
        try:
            response = await self._channel.call(USER_CHANGE_PASSWORD, request, timeout=timeout)
        except ClientError as error:
            if is_own and error.definite:
                self._channel.withdraw_password(password)
            raise
        if is_own:
            self._channel.use_password(password)
        return ResponseHeader(response.header)

    async def user_grant_role(
        self, user: str, role: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Grant a role to a user; does nothing if the user has it already.

        The role root exists without `role_add`. Raises `UserNotFoundError`,
        `RoleNotFoundError`.
        """
        request = pb.AuthUserGrantRoleRequest(
            user=check_name("user", user), role=check_name("role", role)
        )
        response = await self._channel.call(USER_GRANT_ROLE, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def user_revoke_role(
        self, user: str, role: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Revoke a role from a user.

        Raises `UserNotFoundError`, `RoleNotGrantedError`, and `InvalidAuthManagementError`
        for the role root of the user root while authentication is enabled.
        """
        request = pb.AuthUserRevokeRoleRequest(
            name=check_name("user", user), role=check_name("role", role)
        )
        response = await self._channel.call(USER_REVOKE_ROLE, request, timeout=timeout)
        return ResponseHeader(response.header)

    # Roles -----------------------------------------------------------------------------

    async def role_add(self, role: str, *, timeout: float | None = None) -> ResponseHeader:
        """Add a role without permissions. Raises `RoleExistsError`."""
        request = pb.AuthRoleAddRequest(name=check_name("role", role))
        response = await self._channel.call(ROLE_ADD, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def role_get(self, role: str, *, timeout: float | None = None) -> Role:
        """Return a role with its permissions.

        Raises `RoleNotFoundError`, also for the role root, which has all permissions, unless it
        was added by `role_add`.
        """
        request = pb.AuthRoleGetRequest(role=check_name("role", role))
        response = await self._channel.call(ROLE_GET, request, timeout=timeout)
        return Role(role, map(Permission.from_message, response.perm))

    async def role_list(self, *, timeout: float | None = None) -> list[str]:
        """Return the names of all roles, sorted."""
        response = await self._channel.call(ROLE_LIST, pb.AuthRoleListRequest(), timeout=timeout)
        return list(response.roles)

    async def role_delete(self, role: str, *, timeout: float | None = None) -> ResponseHeader:
        """Delete a role, and revoke it from all users.

        Raises `RoleNotFoundError`, and `InvalidAuthManagementError` for the role root while
        authentication is enabled.
        """
        request = pb.AuthRoleDeleteRequest(role=check_name("role", role))
        response = await self._channel.call(ROLE_DELETE, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def role_grant_permission(
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
        request = grant_permission_request(role, kind, key, range_end, prefix)
        response = await self._channel.call(ROLE_GRANT_PERMISSION, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def role_revoke_permission(
        self,
        role: str,
        key: bytes,
        range_end: bytes | None = None,
        *,
        prefix: bool = False,
        timeout: float | None = None,
    ) -> ResponseHeader:
        """Revoke a permission of a role for a key, a range or a prefix.

        The arguments are those of `role_grant_permission`, and must match one permission exactly:
        a part of a range cannot be revoked. Raises `RoleNotFoundError`,
        `PermissionNotGrantedError`.
        """
        request = revoke_permission_request(role, key, range_end, prefix)
        response = await self._channel.call(ROLE_REVOKE_PERMISSION, request, timeout=timeout)
        return ResponseHeader(response.header)
