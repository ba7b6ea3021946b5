"""Refused callers get an error for each call, and cause no load on the server."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest

from etcd_auth import AuthClient
from etcd_channel import ClientError, errors
from etcd_kv import KVClient

from .servers import Account, AuthServer, make_account

MANY = 20


async def test_a_wrong_password_is_sent_once(account: Account) -> None:
    server = account.server
    before = await server.authentications()
    channel = server.channel(account.name, "wrong")
    with pytest.raises(errors.AuthFailedError) as raised:
        await channel.connect()
    assert raised.value.definite
    assert await server.authentications() == before + 1
    with pytest.raises(errors.AuthFailedError):
        await KVClient(channel).put(account.prefix, b"value")
    assert await server.authentications() == before + 2
    await channel.close()


async def test_many_calls_with_a_wrong_password_send_it_once(account: Account) -> None:
    server = account.server
    before = await server.authentications()
    channel = server.channel(account.name, "wrong")
    kv = KVClient(channel)
    ends = await asyncio.gather(
        *(kv.put(account.prefix, b"value") for _ in range(MANY)), return_exceptions=True
    )
    await channel.close()
    assert [type(end) for end in ends] == [errors.AuthFailedError] * MANY
    assert await server.authentications() == before + 1


async def test_an_unknown_user_is_refused_like_a_wrong_password(server: AuthServer) -> None:
    channel = server.channel("nobody", "secret")
    with pytest.raises(errors.AuthFailedError):
        await channel.connect()
    await channel.close()


async def test_an_old_password_works_until_its_token_is_invalid(account: Account) -> None:
    """A call fails at once, and nothing was written; the next one fails too."""
    server = account.server
    async with account.channel() as channel, server.as_root() as root:
        kv = KVClient(channel)
        await kv.put(account.prefix, b"before")
        await AuthClient(root).user_change_password(account.name, "another")
        before = await server.authentications()
        for asked in (1, 2):
            with pytest.raises(errors.AuthFailedError) as raised:
                await kv.put(account.prefix, b"after")
            assert raised.value.definite
            assert await server.authentications() == before + asked
        channel.use_password("another")
        found = await kv.get(account.prefix)
        assert found is not None
        assert (found.value, found.version) == (b"before", 1)


async def test_a_deleted_user_is_refused(account: Account) -> None:
    async with account.channel() as channel, account.server.as_root() as root:
        kv = KVClient(channel)
        await kv.put(account.prefix, b"value")
        await AuthClient(root).user_delete(account.name)
        with pytest.raises(errors.AuthFailedError):
            await kv.put(account.prefix, b"value")


async def test_a_missing_permission_fetches_no_new_token(account: Account) -> None:
    async with account.channel() as channel:
        kv = KVClient(channel)
        before = await account.server.authentications()
        for call in (kv.put(b"elsewhere", b"value"), kv.get(b"elsewhere")):
            with pytest.raises(errors.PermissionDeniedError) as raised:
                await call
            assert raised.value.definite
        assert await account.server.authentications() == before


async def test_no_token_and_no_password_is_shown(
    jwt_server: AuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Every JWT begins with the same characters."""
    caplog.set_level(logging.DEBUG)
    account = await make_account(jwt_server)
    shown: list[object] = []
    async with account.channel() as channel, jwt_server.as_root() as root:
        kv = KVClient(channel)
        await kv.put(account.prefix, b"value")
        with pytest.raises(ClientError) as denied:
            await kv.put(b"elsewhere", b"value")
        await AuthClient(root).user_change_password(account.name, "another")
        with pytest.raises(ClientError) as failed:
            await kv.put(account.prefix, b"value")
        shown += [channel, kv]
    for error in (denied.value, failed.value):
        shown += [error, error.__cause__, error.__dict__]
        shown += traceback.format_exception_only(error)
    text = caplog.text + "".join(f"{each!r}{each}" for each in shown)
    for secret in ("eyJ", account.password, "another"):
        assert secret not in text
