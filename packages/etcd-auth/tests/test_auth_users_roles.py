"""Users, roles and permissions on a real server whose authentication is off."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from etcd_auth import AuthClient, Permission, PermissionKind, Role, User
from etcd_channel import Channel, ResponseHeader, errors
from etcd_testing import EtcdServer

READ, WRITE, READWRITE = PermissionKind

_numbers = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[EtcdServer]:
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def auth(server: EtcdServer) -> AsyncIterator[AuthClient]:
    async with Channel(server.endpoint) as channel:
        yield AuthClient(channel)


@pytest.fixture
def user() -> str:
    """A name that no other test uses."""
    return f"user-{next(_numbers)}"


@pytest.fixture
def role() -> str:
    """A name that no other test uses."""
    return f"role-{next(_numbers)}"


# Users ------------------------------------------------------------------------------------


async def test_a_user_is_added_read_listed_and_deleted(auth: AuthClient, user: str) -> None:
    header = await auth.user_add(user, "secret")
    assert isinstance(header, ResponseHeader)
    assert header.cluster_id
    assert await auth.user_get(user) == User(user, [])
    assert user in await auth.user_list()
    await auth.user_delete(user)
    assert user not in await auth.user_list()
    with pytest.raises(errors.UserNotFoundError):
        await auth.user_get(user)


async def test_users_are_listed_by_name(auth: AuthClient, user: str) -> None:
    for suffix in ("c", "a", "b"):
        await auth.user_add(user + suffix, "secret")
    users = [name for name in await auth.user_list() if name.startswith(user)]
    assert users == [user + "a", user + "b", user + "c"]


@pytest.mark.parametrize("suffix", ["ü名", ":", " ", "/", "\0", "x" * 1000])
async def test_a_name_may_be_any_text(auth: AuthClient, user: str, role: str, suffix: str) -> None:
    await auth.user_add(user + suffix, "secret")
    await auth.role_add(role + suffix)
    await auth.user_grant_role(user + suffix, role + suffix)
    assert await auth.user_get(user + suffix) == User(user + suffix, [role + suffix])
    assert user + suffix in await auth.user_list()
    assert role + suffix in await auth.role_list()


async def test_a_user_cannot_be_added_twice(auth: AuthClient, user: str) -> None:
    await auth.user_add(user, "secret")
    with pytest.raises(errors.UserExistsError) as raised:
        await auth.user_add(user, "other")
    assert raised.value.definite
    assert raised.value.method == "Auth.UserAdd"
    assert "other" not in str(raised.value)


async def test_a_user_without_a_password_is_added(auth: AuthClient, user: str) -> None:
    await auth.user_add(user)
    assert await auth.user_get(user) == User(user, [])


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda auth, user: auth.user_get(user), id="user_get"),
        pytest.param(lambda auth, user: auth.user_delete(user), id="user_delete"),
        pytest.param(lambda auth, user: auth.user_change_password(user, "s"), id="user_change"),
        pytest.param(lambda auth, user: auth.user_grant_role(user, "root"), id="user_grant_role"),
        pytest.param(lambda auth, user: auth.user_revoke_role(user, "root"), id="user_revoke_role"),
    ],
)
async def test_an_unknown_user_raises_user_not_found(
    auth: AuthClient, user: str, call: Callable[[AuthClient, str], Awaitable[object]]
) -> None:
    with pytest.raises(errors.UserNotFoundError, match="user name not found"):
        await call(auth, user)


# Roles ------------------------------------------------------------------------------------


async def test_a_role_is_added_read_listed_and_deleted(auth: AuthClient, role: str) -> None:
    await auth.role_add(role)
    assert await auth.role_get(role) == Role(role, [])
    assert role in await auth.role_list()
    with pytest.raises(errors.RoleExistsError):
        await auth.role_add(role)
    await auth.role_delete(role)
    assert role not in await auth.role_list()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda auth, role: auth.role_get(role), id="role_get"),
        pytest.param(lambda auth, role: auth.role_delete(role), id="role_delete"),
        pytest.param(
            lambda auth, role: auth.role_grant_permission(role, READ, b"k"), id="role_grant"
        ),
        pytest.param(lambda auth, role: auth.role_revoke_permission(role, b"k"), id="role_revoke"),
    ],
)
async def test_an_unknown_role_raises_role_not_found(
    auth: AuthClient, role: str, call: Callable[[AuthClient, str], Awaitable[object]]
) -> None:
    with pytest.raises(errors.RoleNotFoundError, match="role name not found"):
        await call(auth, role)


async def test_roles_are_granted_and_revoked(auth: AuthClient, user: str, role: str) -> None:
    await auth.user_add(user, "secret")
    for suffix in ("b", "a"):
        await auth.role_add(role + suffix)
        await auth.user_grant_role(user, role + suffix)
    assert await auth.user_get(user) == User(user, [role + "a", role + "b"])
    await auth.user_grant_role(user, role + "a")
    assert await auth.user_get(user) == User(user, [role + "a", role + "b"])
    await auth.user_revoke_role(user, role + "b")
    assert await auth.user_get(user) == User(user, [role + "a"])
    with pytest.raises(errors.RoleNotGrantedError):
        await auth.user_revoke_role(user, role + "b")
    with pytest.raises(errors.RoleNotFoundError):
        await auth.user_grant_role(user, role)


async def test_deleting_a_role_revokes_it_from_its_users(
    auth: AuthClient, user: str, role: str
) -> None:
    await auth.user_add(user, "secret")
    await auth.role_add(role)
    await auth.user_grant_role(user, role)
    await auth.role_delete(role)
    assert await auth.user_get(user) == User(user, [])


async def test_the_role_root_can_be_granted_without_adding_it(auth: AuthClient, user: str) -> None:
    await auth.user_add(user, "secret")
    await auth.user_grant_role(user, "root")
    assert await auth.user_get(user) == User(user, ["root"])


# Permissions ------------------------------------------------------------------------------


async def test_a_permission_is_granted_for_a_key_a_range_a_prefix_and_all_keys(
    auth: AuthClient, role: str
) -> None:
    await auth.role_add(role)
    await auth.role_grant_permission(role, READ, b"key")
    await auth.role_grant_permission(role, WRITE, b"from", b"until")
    await auth.role_grant_permission(role, READWRITE, b"last", b"\0")
    await auth.role_grant_permission(role, READ, b"/app/", prefix=True)
    await auth.role_grant_permission(role, WRITE, b"/ab\xff", prefix=True)
    await auth.role_grant_permission(role, READWRITE, b"", prefix=True)
    assert await auth.role_get(role) == Role(
        role,
        [
            Permission(READWRITE, b"\0", b"\0"),
            Permission(WRITE, b"/ab\xff", b"/ac"),
            Permission(READ, b"/app/", b"/app0"),
            Permission(WRITE, b"from", b"until"),
            Permission(READ, b"key"),
            Permission(READWRITE, b"last", b"\0"),
        ],
    )


async def test_etcdctl_shows_the_granted_permissions(
    auth: AuthClient, server: EtcdServer, role: str
) -> None:
    await auth.role_add(role)
    await auth.role_grant_permission(role, READ, b"/app/", prefix=True)
    await auth.role_grant_permission(role, WRITE, b"from", b"until")
    await auth.role_grant_permission(role, WRITE, b"last", b"\0")
    printed = await server.etcdctl("role", "get", role)
    readable, _, writable = printed.partition("KV Write:")
    assert "[/app/, /app0) (prefix /app/)" in readable
    assert "[from, until)" in writable
    assert "[last, <open ended>" in writable


async def test_permissions_granted_by_etcdctl_are_read(
    auth: AuthClient, server: EtcdServer, role: str
) -> None:
    await server.etcdctl("role", "add", role)
    await server.etcdctl("role", "grant-permission", role, "readwrite", "/app/", "--prefix")
    await server.etcdctl("role", "grant-permission", role, "read", "key")
    assert await auth.role_get(role) == Role(
        role, [Permission(READWRITE, b"/app/", b"/app0"), Permission(READ, b"key")]
    )


async def test_a_permission_is_replaced_by_one_for_the_same_keys(
    auth: AuthClient, role: str
) -> None:
    await auth.role_add(role)
    await auth.role_grant_permission(role, READ, b"a", b"b")
    await auth.role_grant_permission(role, READWRITE, b"a", b"b")
    await auth.role_grant_permission(role, WRITE, b"a")
    assert set((await auth.role_get(role)).permissions) == {
        Permission(WRITE, b"a"),
        Permission(READWRITE, b"a", b"b"),
    }


async def test_a_permission_is_revoked_by_exactly_its_keys(auth: AuthClient, role: str) -> None:
    await auth.role_add(role)
    await auth.role_grant_permission(role, READWRITE, b"key")
    await auth.role_grant_permission(role, READ, b"/app/", prefix=True)
    with pytest.raises(errors.PermissionNotGrantedError):
        await auth.role_revoke_permission(role, b"/app/")
    with pytest.raises(errors.PermissionNotGrantedError):
        await auth.role_revoke_permission(role, b"/app/a", b"/app/b")
    await auth.role_revoke_permission(role, b"/app/", prefix=True)
    assert (await auth.role_get(role)).permissions == (Permission(READWRITE, b"key"),)
    await auth.role_revoke_permission(role, b"key")
    assert (await auth.role_get(role)).permissions == ()


async def test_permissions_that_were_read_can_be_granted_to_another_role(
    auth: AuthClient, role: str
) -> None:
    await auth.role_add(role)
    await auth.role_grant_permission(role, READ, b"key")
    await auth.role_grant_permission(role, WRITE, b"", prefix=True)
    await auth.role_add(role + "-copy")
    for permission in (await auth.role_get(role)).permissions:
        await auth.role_grant_permission(
            role + "-copy", permission.kind, permission.key, permission.range_end
        )
    copy = await auth.role_get(role + "-copy")
    assert copy.permissions == (await auth.role_get(role)).permissions


# Authentication as a whole ----------------------------------------------------------------


async def test_authentication_is_not_enabled_without_root() -> None:
    async with EtcdServer() as server, Channel(server.endpoint) as channel:
        auth = AuthClient(channel)
        with pytest.raises(errors.RootUserMissingError, match="root user does not exist"):
            await auth.auth_enable()
        await auth.user_add("root", "secret")
        with pytest.raises(errors.RootRoleMissingError, match="does not have root role"):
            await auth.auth_enable()
        await auth.user_grant_role("root", "root")
        await auth.auth_enable()
        with pytest.raises(errors.EmptyUserNameError):
            await auth.user_list()


async def test_disabling_twice_is_no_error(auth: AuthClient) -> None:
    assert isinstance(await auth.auth_disable(), ResponseHeader)


async def test_the_status_needs_etcd_3_5(auth: AuthClient, server: EtcdServer, user: str) -> None:
    if server.version.startswith("3.4."):
        with pytest.raises(errors.UnsupportedByServerError, match=r"needs etcd 3\.5 or later"):
            await auth.auth_status()
        return
    before = await auth.auth_status()
    assert not before.enabled
    await auth.user_add(user, "secret")
    after = await auth.auth_status()
    assert (after.enabled, after.revision) == (False, before.revision + 1)
