"""Calls succeed although tokens become invalid, in every way that etcd has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from etcd_auth import AuthClient, PermissionKind, User
from etcd_channel import (
    Channel,
    ChannelLike,
    ChannelView,
    ClientError,
    ConnectionFailedError,
    Rpc,
)
from etcd_kv import KVClient
from etcd_testing import EtcdCluster, EtcdServer

from .servers import PATIENT, Account, AuthServer, make_account

MANY = 50
PAUSE = 0.01  # between the calls of a program, so that the servers are not busy with it alone


async def use(account: Account, channel: Channel) -> None:
    kv = KVClient(channel)
    await kv.put(account.prefix, b"value")
    assert await kv.get(account.prefix) is not None


async def end_tokens(account: Account) -> None:
    """Make the server refuse all tokens of a user, without changing its password."""
    async with account.server.as_root() as channel:
        await AuthClient(channel).user_change_password(account.name, account.password)


# Time, restarts ---------------------------------------------------------------------------


async def test_a_simple_token_that_expired_is_renewed_when_it_is_needed() -> None:
    async with AuthServer(ttl=1) as server:
        account = await make_account(server)
        async with account.channel() as channel:
            for _ in range(2):
                await use(account, channel)
                await server.outlive_tokens()
                before = await server.authentications()
                await use(account, channel)
                # A pause of a second outlives a token too.
                assert await server.authentications() >= before + 1


async def test_calls_succeed_while_jwts_expire(
    jwt: Callable[[int], str],
) -> None:
    async with AuthServer(jwt=jwt(1)) as server:
        account = await make_account(server)
        async with account.channel() as channel:
            before = await server.authentications()
            while await server.authentications() < before + 3:
                await use(account, channel)
                await asyncio.sleep(PAUSE)


async def test_calls_succeed_after_a_restart_that_drops_all_tokens(
    simple_server: AuthServer,
) -> None:
    account = await make_account(simple_server)
    async with account.channel() as channel:
        await use(account, channel)
        await simple_server.restart()
        await use(account, channel)
        assert await simple_server.authentications() == 1


async def test_a_jwt_outlives_a_restart(jwt_server: AuthServer) -> None:
    account = await make_account(jwt_server)
    async with account.channel() as channel:
        await use(account, channel)
        await jwt_server.restart()
        await use(account, channel)
        assert await jwt_server.authentications() == 0


async def test_reads_succeed_while_every_member_is_restarted() -> None:
    """Each member drops the tokens, including those of other members."""
    async with EtcdCluster(3) as cluster:
        await cluster[0].enable_auth("secret")
        done = asyncio.Event()

        async def read(kv: KVClient) -> int:
            reads = 0
            while not done.is_set():
                await kv.get(b"key")
                reads += 1
                await asyncio.sleep(PAUSE)
            return reads

        async with Channel(
            cluster.endpoints, username="root", password="secret", **PATIENT
        ) as channel:
            await KVClient(channel).put(b"key", b"value")
            reading = asyncio.create_task(read(KVClient(channel)))
            for member in cluster.members:
                await member.restart()
                await cluster.leader(timeout=60)
            done.set()
            assert await reading > 0
            await KVClient(channel).put(b"key", b"value")


# Users that change ------------------------------------------------------------------------


async def test_many_calls_that_are_refused_at_once_fetch_one_token(account: Account) -> None:
    server = account.server
    async with account.channel() as channel:
        await use(account, channel)
        await end_tokens(account)
        before, refused = await server.authentications(), await server.refusals("Put")
        await asyncio.gather(*(use(account, channel) for _ in range(MANY)))
        assert await server.authentications() == before + 1
        assert await server.refusals("Put") > refused


async def test_many_first_calls_fetch_one_token(account: Account) -> None:
    before = await account.server.authentications()
    channel = account.channel()
    await asyncio.gather(*(use(account, channel) for _ in range(MANY)))
    await channel.close()
    assert await account.server.authentications() == before + 1


async def test_calls_succeed_after_a_user_was_added(account: Account) -> None:
    """A JWT then has an old auth revision; a simple token has none."""
    async with account.channel() as channel:
        await use(account, channel)
        await make_account(account.server)
        await use(account, channel)


async def test_calls_succeed_while_users_change(account: Account) -> None:
    """Calls are refused for it, before or after they were proposed to the cluster.

    None of them fails, and every put is applied once.
    """
    server = account.server
    keys = [account.prefix + str(number).encode() for number in range(10)]
    done = asyncio.Event()

    async def put(kv: KVClient, key: bytes) -> int:
        puts = 0
        while not done.is_set():
            await kv.put(key, b"value")
            assert await kv.get(key) is not None
            puts += 1
        return puts

    async def change_users() -> None:
        refused = await server.refusals("Put")
        async with server.as_root() as channel:
            root = AuthClient(channel)
            changes = 0
            while changes < 50 or await server.refusals("Put") < refused + 10:
                await root.user_add(f"{account.name}-{changes}", "secret")
                changes += 1
        done.set()

    async with account.channel() as channel:
        kv = KVClient(channel)
        *counts, _ = await asyncio.gather(*(put(kv, key) for key in keys), change_users())
        for key, count in zip(keys, counts, strict=True):
            found = await kv.get(key)
            assert found is not None
            assert found.version == count


async def test_calls_succeed_while_authentication_is_enabled_and_disabled() -> None:
    async with EtcdServer() as server, Channel(server.endpoint, **PATIENT) as stranger:
        auth = AuthClient(stranger)
        await auth.role_add("all")
        await auth.role_grant_permission("all", PermissionKind.READWRITE, b"", prefix=True)
        await auth.user_add("alice", "secret")
        await auth.user_grant_role("alice", "all")
        async with Channel(
            server.endpoint, username="alice", password="secret", **PATIENT
        ) as channel:
            kv = KVClient(channel)
            await kv.put(b"key", b"before")
            await server.enable_auth("secret")
            await kv.put(b"key", b"enabled")
            async with Channel(
                server.endpoint, username="root", password="secret", **PATIENT
            ) as root:
                await AuthClient(root).auth_disable()
            await kv.put(b"key", b"disabled")


# Passwords that change --------------------------------------------------------------------


async def test_a_channel_works_after_it_is_given_the_changed_password(
    account: Account,
) -> None:
    async with account.channel() as channel, account.server.as_root() as root:
        await use(account, channel)
        await AuthClient(root).user_change_password(account.name, "another")
        channel.use_password("another")
        await use(account, channel)


class LateAnswers(ChannelView):
    """Holds the answers of password changes back until `arrive` is set; raises `error` then."""

    error: ClientError | None = None

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.changed, self.arrive = asyncio.Event(), asyncio.Event()

    async def call(self, rpc: Rpc[Any, Any], request: Any, **options: Any) -> Any:
        response = await super().call(rpc, request, **options)
        if rpc.name == "Auth.UserChangePassword":
            self.changed.set()
            await self.arrive.wait()
            if self.error is not None:
                raise self.error
        return response


@pytest.mark.parametrize("lost", [False, True])
async def test_calls_succeed_while_the_answer_to_a_change_of_password_is_on_its_way(
    lost: bool,
) -> None:
    async with AuthServer() as server:
        account = await make_account(server)
        async with account.channel() as channel, server.as_root() as root:
            await use(account, channel)
            await AuthClient(root).user_grant_role(account.name, "root")
            late = LateAnswers(channel)
            if lost:
                late.error = ConnectionFailedError("the answer is lost")
            changing = asyncio.create_task(
                AuthClient(late).user_change_password(account.name, "another")
            )
            await late.changed.wait()
            await use(account, channel)
            late.arrive.set()
            if lost:
                with pytest.raises(ConnectionFailedError):
                    await changing
            else:
                await changing
            await use(account, channel)


async def test_root_can_change_its_own_password_during_calls() -> None:
    async with AuthServer() as server:
        done = asyncio.Event()

        async def work(channel: Channel) -> None:
            while not done.is_set():
                await KVClient(channel).put(b"key", b"value")

        async with server.as_root() as channel:
            auth = AuthClient(channel)
            working = [asyncio.create_task(work(channel)) for _ in range(10)]
            for password in ("second", "third", "fourth"):
                await auth.user_change_password("root", password)
                assert await auth.user_get("root") == User("root", ["root"])
            done.set()
            await asyncio.gather(*working)
