"""The authentication service: what a program calls."""

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
from etcd_channel import ResponseHeader, Service
from etcd_channel.arguments import check_name

__all__ = ["AuthClient"]


class AuthClient(Service):
    """etcd's authentication service on a channel: users, their roles, the roles' permissions.

    The methods are named after etcd's RPCs. Users and roles can be made before
    authentication is enabled; from then on only a user with the role root may call
    anything here, but for `user_get` and `role_get` of oneself and of one's own roles.

    `timeout` is the number of seconds that a call may take, None the channel's. Every call
    raises a `ClientError`: `PermissionDeniedError` for a caller without the role root,
    `EmptyUserNameError` for one without a name on a cluster with authentication. What
    changes nothing is repeated on another member when one fails; changes are not: an error
    of one that is not `definite` leaves open whether it was applied, and so does
    cancelling it.

    Every change makes the tokens of all users old, or those of the user concerned; the
    channel fetches new ones and no caller hears of it. Passwords show in no repr, no
    error and no log of the client.
    """

    # Authentication as a whole ---------------------------------------------------------

    async def auth_enable(self, *, timeout: float | None = None) -> ResponseHeader:
        """Ask every caller from now on who they are.

        A channel without user name and password, and without a certificate that names a
        user, is of no use then. Raises `RootUserMissingError` if there is no user root,
        `RootRoleMissingError` if that user lacks the role root.
        """
        response = await self._channel.call(ENABLE, pb.AuthEnableRequest(), timeout=timeout)
        return ResponseHeader(response.header)

    async def auth_disable(self, *, timeout: float | None = None) -> ResponseHeader:
        """Let everybody do everything again; users and roles stay."""
        response = await self._channel.call(DISABLE, pb.AuthDisableRequest(), timeout=timeout)
        return ResponseHeader(response.header)

    async def auth_status(self, *, timeout: float | None = None) -> AuthStatus:
        """Read whether authentication is enabled.

        Where it is, only a user with the role root may ask. Raises
        `UnsupportedByServerError` on etcd 3.4.
        """
        response = await self._channel.call(STATUS, pb.AuthStatusRequest(), timeout=timeout)
        return AuthStatus(response.enabled, response.authRevision)

    # Users -----------------------------------------------------------------------------

    async def user_add(
        self, user: str, password: str | None = None, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Make a user, with no role yet.

        A `password` has 1 to 72 bytes in UTF-8. Without one the user can only be known by
        the common name of a client certificate, for good: `user_change_password` does not
        change that. Raises `UserExistsError`.
        """
        request = user_add_request(user, password)
        response = await self._channel.call(USER_ADD, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def user_get(self, user: str, *, timeout: float | None = None) -> User:
        """Read a user's roles. Raises `UserNotFoundError`."""
        request = pb.AuthUserGetRequest(name=check_name("user", user))
        response = await self._channel.call(USER_GET, request, timeout=timeout)
        return User(user, response.roles)

    async def user_list(self, *, timeout: float | None = None) -> list[str]:
        """Read the names of all users, sorted."""
        response = await self._channel.call(USER_LIST, pb.AuthUserListRequest(), timeout=timeout)
        return list(response.users)

    async def user_delete(self, user: str, *, timeout: float | None = None) -> ResponseHeader:
        """Delete a user; its tokens end at once.

        Raises `UserNotFoundError`, and `InvalidAuthManagementError` for the user root while
        authentication is enabled.
        """
        request = pb.AuthUserDeleteRequest(name=check_name("user", user))
        response = await self._channel.call(USER_DELETE, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def user_change_password(
        self, user: str, password: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Give a user another password, of 1 to 72 bytes in UTF-8.

        Whoever knows only the old one gets `AuthFailedError` from then on. This client does
        not: if `user` is the channel's own, the channel goes on with the new password.
        Raises `UserNotFoundError`.
        """
        request = user_change_password_request(user, password)
        response = await self._channel.call(USER_CHANGE_PASSWORD, request, timeout=timeout)
        if user == self._channel.username:
            self._channel.use_password(password)
        return ResponseHeader(response.header)

    async def user_grant_role(
        self, user: str, role: str, *, timeout: float | None = None
    ) -> ResponseHeader:
        """Give a user a role; one that it has already is no error.

        The role root is there without having been made. Raises `UserNotFoundError`,
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
        """Take a role from a user.

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
        """Make a role, with no permission yet. Raises `RoleExistsError`."""
        request = pb.AuthRoleAddRequest(name=check_name("role", role))
        response = await self._channel.call(ROLE_ADD, request, timeout=timeout)
        return ResponseHeader(response.header)

    async def role_get(self, role: str, *, timeout: float | None = None) -> Role:
        """Read a role's permissions. Raises `RoleNotFoundError`.

        The role root, which may do everything, is not there to be read unless it was made.
        """
        request = pb.AuthRoleGetRequest(role=check_name("role", role))
        response = await self._channel.call(ROLE_GET, request, timeout=timeout)
        return Role(role, map(Permission.from_message, response.perm))

    async def role_list(self, *, timeout: float | None = None) -> list[str]:
        """Read the names of all roles, sorted."""
        response = await self._channel.call(ROLE_LIST, pb.AuthRoleListRequest(), timeout=timeout)
        return list(response.roles)

    async def role_delete(self, role: str, *, timeout: float | None = None) -> ResponseHeader:
        """Delete a role, and take it from all users.

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
        r"""Let a role read, write, or both.

        It may do so with one `key`; with the keys from it up to, and without, `range_end`
        (`b"\0"` for the end of all keys); or with all that begin with it if `prefix` is
        True, where `b""` is every key's. What the role could do with exactly this key or
        range before is replaced. Raises `RoleNotFoundError`.
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
        """Take from a role whatever it may do with a key, a range or a prefix.

        The three are as in `role_grant_permission`, and must be those of one permission:
        nothing can be cut out of a range. Raises `RoleNotFoundError`,
        `PermissionNotGrantedError`.
        """
        request = revoke_permission_request(role, key, range_end, prefix)
        response = await self._channel.call(ROLE_REVOKE_PERMISSION, request, timeout=timeout)
        return ResponseHeader(response.header)
