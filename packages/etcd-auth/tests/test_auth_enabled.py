"""A real server with authentication: permissions, and the errors of refused calls."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio

from etcd_auth import AuthClient, Permission, PermissionKind, Role, User
from etcd_channel import Channel, errors
from etcd_testing import EtcdctlError, EtcdServer

READ, WRITE, READWRITE = PermissionKind

ROOT = "root's secret"
ALICE = "alice's secret"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[EtcdServer]:
    async with EtcdServer() as server:
        async with Channel(server.endpoint) as channel:
            auth = AuthClient(channel)
            await auth.user_add("root", ROOT)
            await auth.user_grant_role("root", "root")
            await auth.user_add("alice", ALICE)
            await auth.role_add("reader")
            await auth.role_grant_permission("reader", READ, b"/app/", prefix=True)
            await auth.user_grant_role("alice", "reader")
            await auth.auth_enable()
        yield server


@pytest.fixture
async def root(server: EtcdServer) -> AsyncIterator[AuthClient]:
    async with Channel(server.endpoint, username="root", password=ROOT) as channel:
        yield AuthClient(channel)


@pytest.fixture
async def alice(server: EtcdServer) -> AsyncIterator[AuthClient]:
    async with Channel(server.endpoint, username="alice", password=ALICE) as channel:
        yield AuthClient(channel)


@pytest.fixture
async def nobody(server: EtcdServer) -> AsyncIterator[AuthClient]:
    async with Channel(server.endpoint) as channel:
        yield AuthClient(channel)


async def failure(call: Awaitable[object]) -> errors.ClientError:
    with pytest.raises(errors.ClientError) as raised:
        await call
    return raised.value


async def test_the_status_needs_the_role_root(
    root: AuthClient, alice: AuthClient, server: EtcdServer
) -> None:
    if server.version.startswith("3.4."):
        pytest.skip("etcd 3.4 has no status of authentication")
    status = await root.auth_status()
    assert status.enabled
    assert status.revision > 1
    with pytest.raises(errors.PermissionDeniedError):
        await alice.auth_status()


async def test_a_user_can_read_only_their_own_user_and_roles(alice: AuthClient) -> None:
    assert await alice.user_get("alice") == User("alice", ["reader"])
    assert await alice.role_get("reader") == Role("reader", [Permission(READ, b"/app/", b"/app0")])
    for refused in (
        alice.user_get("root"),
        alice.role_get("root"),
        alice.user_list(),
        alice.role_list(),
        alice.user_add("bob", "secret"),
        alice.user_change_password("alice", "another"),
        alice.auth_disable(),
    ):
        with pytest.raises(errors.PermissionDeniedError):
            await refused


async def test_a_channel_without_a_user_name_is_refused(nobody: AuthClient) -> None:
    with pytest.raises(errors.EmptyUserNameError) as raised:
        await nobody.user_list()
    assert raised.value.definite


async def test_a_user_without_a_password_is_refused_with_any_password(
    root: AuthClient, server: EtcdServer
) -> None:
    """A password that is set later has no effect."""
    await root.user_add("certified")
    await root.user_change_password("certified", "secret")
    for password in ("", "secret"):
        refused = Channel(server.endpoint, username="certified", password=password)
        with pytest.raises(errors.AuthFailedError):
            await refused.connect()
        await refused.close()


async def test_root_cannot_be_deleted_or_lose_its_role(root: AuthClient) -> None:
    with pytest.raises(errors.InvalidAuthManagementError):
        await root.user_delete("root")
    with pytest.raises(errors.InvalidAuthManagementError):
        await root.user_revoke_role("root", "root")
    with pytest.raises(errors.InvalidAuthManagementError):
        await root.role_delete("root")
    assert "root" in await root.user_list()


async def test_enabling_twice_is_no_error(root: AuthClient) -> None:
    await root.auth_enable()
    assert "root" in await root.user_list()


@pytest.mark.parametrize(
    ("kind", "readable", "writable"),
    [(READ, True, False), (WRITE, False, True), (READWRITE, True, True)],
)
async def test_a_user_can_do_only_what_its_permissions_allow(
    root: AuthClient, server: EtcdServer, kind: PermissionKind, readable: bool, writable: bool
) -> None:
    name = kind.value.lower()
    await root.role_add(f"can-{name}")
    await root.user_add(name, "secret")
    await root.user_grant_role(name, f"can-{name}")
    await root.role_grant_permission(f"can-{name}", kind, f"/{name}/".encode(), prefix=True)

    async def can(*command: str) -> bool:
        try:
            await server.etcdctl(*command, user=f"{name}:secret")
        except EtcdctlError as error:
            if "permission denied" not in str(error):
                raise
            return False
        return True

    assert await can("get", f"/{name}/key") is readable
    assert await can("put", f"/{name}/key", "value") is writable
    assert not await can("get", "/elsewhere")
    assert not await can("put", "/elsewhere", "value")


async def test_a_revoked_role_has_no_effect_immediately(
    root: AuthClient, server: EtcdServer
) -> None:
    await root.user_add("temporary", "secret")
    await root.user_grant_role("temporary", "reader")
    await server.etcdctl("get", "/app/key", user="temporary:secret")
    await root.user_revoke_role("temporary", "reader")
    with pytest.raises(EtcdctlError, match="permission denied"):
        await server.etcdctl("get", "/app/key", user="temporary:secret")


async def test_a_deleted_user_is_refused(root: AuthClient, server: EtcdServer) -> None:
    await root.user_add("bob", "secret")
    async with Channel(server.endpoint, username="bob", password="secret") as channel:
        bob = AuthClient(channel)
        assert await bob.user_get("bob") == User("bob", [])
        await root.user_delete("bob")
        with pytest.raises(errors.AuthFailedError):
            await bob.user_get("bob")


async def test_a_user_can_log_in_with_the_longest_password(
    root: AuthClient, server: EtcdServer
) -> None:
    await root.user_add("long", "ä" * 36)
    async with Channel(server.endpoint, username="long", password="ä" * 36) as channel:
        assert await AuthClient(channel).user_get("long") == User("long", [])
    refused = Channel(server.endpoint, username="long", password="ä" * 35 + "a")
    with pytest.raises(errors.AuthFailedError):
        await refused.connect()
    await refused.close()


async def test_authentication_is_disabled_and_enabled_again(server: EtcdServer) -> None:
    async with EtcdServer() as own:
        await own.enable_auth(ROOT)
        async with (
            Channel(own.endpoint) as stranger,
            Channel(own.endpoint, username="root", password=ROOT) as channel,
        ):
            root = AuthClient(channel)
            nobody = AuthClient(stranger)
            with pytest.raises(errors.EmptyUserNameError):
                await nobody.user_list()
            await root.auth_disable()
            assert await nobody.user_list() == ["root"]
            assert await root.user_list() == ["root"]
            await root.auth_enable()
            with pytest.raises(errors.EmptyUserNameError):
                await nobody.user_list()
            assert await root.user_list() == ["root"]


async def test_no_password_is_shown(server: EtcdServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Channel(server.endpoint, username="root", password=ROOT) as channel:
        root = AuthClient(channel)
        said: list[object] = [channel, root]
        said.append(await root.user_add("secretive", "swordfish"))
        said.append(await root.user_change_password("secretive", "swordfish"))
        said.append(await root.user_get("secretive"))
        failures = [
            await failure(root.user_add("secretive", "swordfish")),
            await failure(root.user_change_password("unknown", "swordfish")),
        ]
    failures.append(await failure(root.user_add("late", "swordfish")))
    wrong = Channel(server.endpoint, username="root", password="swordfish")
    failures.append(await failure(wrong.connect()))
    await wrong.close()
    said += [wrong, *failures, *(error.__dict__ for error in failures)]
    text = "\n".join([caplog.text, *map(repr, said)])
    for error in failures:
        cause = error.__cause__ or error
        text += "".join([*traceback.format_exception_only(error), *map(repr, (error, cause))])
    assert "swordfish" not in text
    assert ROOT not in text
