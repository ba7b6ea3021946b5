"""Invalid arguments are refused by name, and nothing is sent."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from etcd_auth import AuthClient, PermissionKind
from etcd_channel import Channel
from etcd_channel.rpc import Rpc

READ = PermissionKind.READ

# Valid arguments for each method that takes any.
GOOD: dict[str, dict[str, Any]] = {
    "user_add": {"user": "alice", "password": "secret"},
    "user_get": {"user": "alice"},
    "user_delete": {"user": "alice"},
    "user_change_password": {"user": "alice", "password": "secret"},
    "user_grant_role": {"user": "alice", "role": "reader"},
    "user_revoke_role": {"user": "alice", "role": "reader"},
    "role_add": {"role": "reader"},
    "role_get": {"role": "reader"},
    "role_delete": {"role": "reader"},
    "role_grant_permission": {"role": "reader", "kind": READ, "key": b"k"},
    "role_revoke_permission": {"role": "reader", "key": b"k"},
}
NAMES = [
    (method, name) for method, good in GOOD.items() for name in good if name in ("user", "role")
]
PASSWORDS = ["user_add", "user_change_password"]
PERMISSIONS = ["role_grant_permission", "role_revoke_permission"]


class Sent(Exception):
    """A request would have been sent."""


class Unconnected(Channel):
    async def call(self, rpc: Rpc[Any, Any], request: Any, **options: Any) -> Any:
        raise Sent(rpc.name)


async def call(method: str, **changed: Any) -> None:
    auth = AuthClient(Unconnected("localhost:1"))
    bound: Callable[..., Awaitable[Any]] = getattr(auth, method)
    await bound(**{**GOOD[method], **changed})


def test_every_method_with_arguments_is_tested_here() -> None:
    taking = {
        name
        for name, method in inspect.getmembers(AuthClient, inspect.iscoroutinefunction)
        if inspect.signature(method).parameters.keys() - {"self", "timeout"}
    }
    assert GOOD.keys() == taking


@pytest.mark.parametrize("method", GOOD)
async def test_good_arguments_are_sent(method: str) -> None:
    with pytest.raises(Sent):
        await call(method)


@pytest.mark.parametrize(("method", "name"), NAMES)
async def test_names_are_non_empty_text(method: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must not be empty$"):
        await call(method, **{name: ""})
    for value in (None, b"alice", 7):
        with pytest.raises(TypeError, match=f"^{name} must be a str, not {type(value).__name__}"):
            await call(method, **{name: value})
    with pytest.raises(ValueError, match=f"^{name} must be text that UTF-8 can encode"):
        await call(method, **{name: "\udc80"})


@pytest.mark.parametrize("method", PASSWORDS)
async def test_passwords_are_text_of_at_most_72_bytes(method: str) -> None:
    with pytest.raises(ValueError, match=r"^password must not be empty: "):
        await call(method, password="")
    with pytest.raises(TypeError, match=r"^password must be a str, not bytes$"):
        await call(method, password=b"secret")
    with pytest.raises(ValueError, match=r"^password must be at most 72 bytes in UTF-8, not 74"):
        await call(method, password="ä" * 37)
    with pytest.raises(Sent):
        await call(method, password="ä" * 36)


@pytest.mark.parametrize("method", PASSWORDS)
@pytest.mark.parametrize("password", ["swordfish" * 9, "swordfish\udc80", ["swordfish"]])
async def test_a_password_that_is_refused_is_not_shown(method: str, password: object) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        await call(method, password=password)
    assert "swordfish" not in repr(raised.value)
    assert raised.value.__context__ is None


async def test_only_a_new_user_can_be_without_a_password() -> None:
    with pytest.raises(Sent):
        await call("user_add", password=None)
    with pytest.raises(TypeError, match=r"^password must be a str, not NoneType$"):
        await call("user_change_password", password=None)


@pytest.mark.parametrize("method", PERMISSIONS)
async def test_keys_are_non_empty_bytes(method: str) -> None:
    with pytest.raises(ValueError, match=r"^key must not be empty$"):
        await call(method, key=b"")
    with pytest.raises(TypeError, match=r"^key must be bytes, not str: use key.encode\(\)"):
        await call(method, key="k")
    with pytest.raises(TypeError, match=r"^range_end must be bytes, not str"):
        await call(method, range_end="l")


@pytest.mark.parametrize("method", PERMISSIONS)
async def test_an_empty_range_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=r"^range_end must not be below the range's start: b'a'"):
        await call(method, key=b"b", range_end=b"a")
    with pytest.raises(ValueError, match=r"^range_end must not be the key itself"):
        await call(method, key=b"b", range_end=b"b")
    with pytest.raises(ValueError, match=r"^range_end must not be empty"):
        await call(method, key=b"b", range_end=b"")
    with pytest.raises(Sent):
        await call(method, key=b"b", range_end=b"\0")
    with pytest.raises(Sent):
        await call(method, key=b"\0", range_end=b"\0")


@pytest.mark.parametrize("method", PERMISSIONS)
async def test_a_prefix_with_a_range_end_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=r"^range_end must be None with prefix=True"):
        await call(method, range_end=b"l", prefix=True)
    with pytest.raises(TypeError, match=r"^prefix must be a bool, not str$"):
        await call(method, prefix="yes")
    with pytest.raises(Sent):
        await call(method, key=b"", prefix=True)


@pytest.mark.parametrize("kind", ["READ", "read", 0, None])
async def test_the_kind_of_a_permission_is_checked(kind: object) -> None:
    with pytest.raises(
        TypeError, match=r"^kind must be a PermissionKind \(READ, WRITE, READWRITE\), not "
    ):
        await call("role_grant_permission", kind=kind)
