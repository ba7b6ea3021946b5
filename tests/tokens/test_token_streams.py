"""Watches, keep-alives and downloads continue after their tokens became invalid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from etcd_auth import AuthClient
from etcd_channel import Channel, errors
from etcd_cluster.pb import maintenance_pb2
from etcd_cluster.rpcs import SNAPSHOT
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_watch import Watch, WatchClient

from .servers import Account, AuthServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simple_server() -> AsyncIterator[AuthServer]:
    async with AuthServer(ttl=1) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jwt_server(jwt: Callable[[int], str]) -> AsyncIterator[AuthServer]:
    async with AuthServer(jwt=jwt(1)) as server:
        yield server


@pytest.fixture
async def channel(account: Account) -> AsyncIterator[Channel]:
    async with account.channel() as channel:
        yield channel


async def sees(watch: Watch, account: Account, key: bytes, value: bytes) -> None:
    """Put a value as root, and check that its event is the next one of the watch."""
    async with account.server.as_root() as root:
        await KVClient(root).put(account.prefix + key, value)
    event = await watch.__anext__()
    assert (event.kv.key, event.kv.value) == (account.prefix + key, value)


# Watches ----------------------------------------------------------------------------------


async def test_a_watch_outlives_its_token(account: Account, channel: Channel) -> None:
    async with WatchClient(channel).watch_prefix(account.prefix) as watch:
        await sees(watch, account, b"key", b"before")
        await account.server.outlive_tokens()
        await sees(watch, account, b"key", b"after")


async def test_a_further_watch_is_created_on_a_stream_whose_token_expired(
    account: Account, channel: Channel
) -> None:
    client = WatchClient(channel)
    async with client.watch(account.prefix + b"a") as first:
        await account.server.outlive_tokens()
        async with client.watch(account.prefix + b"b") as second:
            await sees(second, account, b"b", b"value")
            await sees(first, account, b"a", b"value")


async def test_a_watch_outlives_a_restart(account: Account, channel: Channel) -> None:
    async with WatchClient(channel).watch_prefix(account.prefix) as watch:
        await sees(watch, account, b"key", b"before")
        await account.server.outlive_tokens()
        await account.server.restart()
        await sees(watch, account, b"key", b"after")


async def test_watches_are_created_between_changes_of_the_users(
    account: Account, channel: Channel
) -> None:
    """etcd before 3.6 answers "permission denied" then, if a JWT has an old revision."""
    client = WatchClient(channel)
    async with client.watch_prefix(account.prefix) as all_of_them, account.server.as_root() as root:
        for number in range(4):
            key = str(number).encode()
            await AuthClient(root).user_add(f"{account.name}-{number}", "secret")
            async with client.watch(account.prefix + key) as watch:
                await sees(watch, account, key, b"value")
            assert (await all_of_them.__anext__()).kv.key == account.prefix + key


async def test_a_watch_continues_with_a_changed_password(
    account: Account, channel: Channel
) -> None:
    async with WatchClient(channel).watch_prefix(account.prefix) as watch:
        async with account.server.as_root() as root:
            await AuthClient(root).user_change_password(account.name, "another")
        channel.use_password("another")
        await account.server.restart()
        await sees(watch, account, b"key", b"value")


async def test_a_watch_without_permission_raises_permission_denied(
    account: Account, channel: Channel
) -> None:
    before = await account.server.authentications()
    with pytest.raises(errors.PermissionDeniedError):
        async with WatchClient(channel).watch(b"elsewhere"):
            pytest.fail("it was begun")
    assert await account.server.authentications() <= before + 4, "a token may expire in a pause"


async def test_a_watch_with_a_wrong_password_raises_auth_failed(account: Account) -> None:
    before = await account.server.authentications()
    channel = account.server.channel(account.name, "wrong")
    with pytest.raises(errors.AuthFailedError):
        async with WatchClient(channel).watch(account.prefix):
            pytest.fail("it was begun")
    await channel.close()
    assert await account.server.authentications() == before + 1


async def test_a_watch_of_a_user_who_was_deleted_ends_with_its_stream(
    account: Account, channel: Channel
) -> None:
    async with WatchClient(channel).watch_prefix(account.prefix) as watch:
        async with account.server.as_root() as root:
            await AuthClient(root).user_delete(account.name)
        await account.server.restart()
        with pytest.raises(errors.AuthFailedError):
            await watch.__anext__()


# Keep-alives ------------------------------------------------------------------------------


async def test_a_lease_is_kept_alive_after_its_token_expires_and_over_a_restart(
    account: Account, channel: Channel
) -> None:
    async with LeaseClient(channel).lease(15, keep_alive=True) as lease:
        await KVClient(channel).put(account.prefix, b"value", lease=lease)
        await account.server.outlive_tokens()
        await account.server.restart()
        assert await lease.keys() == [account.prefix]
        await account.server.outlive_tokens()
        before = lease.remaining
        while lease.remaining <= before:
            lease.check()
            await asyncio.sleep(0.05)
        assert await KVClient(channel).get(account.prefix) is not None
    assert await KVClient(channel).get(account.prefix) is None


# Downloads --------------------------------------------------------------------------------


async def test_a_download_begins_with_a_fresh_token(server: AuthServer) -> None:
    async with server.as_root() as channel:
        await KVClient(channel).put(b"key", b"value")
        await server.outlive_tokens()
        size = remaining = 0
        async for part in channel.download(SNAPSHOT, maintenance_pb2.SnapshotRequest()):
            size += len(part.blob)
            remaining = part.remaining_bytes
    assert size > 0
    assert remaining == 0
