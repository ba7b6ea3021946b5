"""A final refusal of the server is raised to the reader; after others the watch is retried."""

from __future__ import annotations

import asyncio

import pytest
from watch_support import HANG, connect, read, until, values, watchers, within

from etcd_channel import RevisionCompactedError
from etcd_channel.errors import AuthFailedError, EmptyUserNameError, PermissionDeniedError
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.plugin import ServerFactory
from etcd_watch import WatchClient, WatchTimeoutError

# Compaction --------------------------------------------------------------------------------


async def test_a_compacted_start_revision_raises_with_the_first_revision_that_is_left(
    etcd_server_factory: ServerFactory,
) -> None:
    server = etcd_server_factory()
    async with connect(server.endpoint) as (client, writer, _):
        for _ in range(3):
            await writer.put(b"k")
        compacted = await writer.put(b"k")
        await writer.compact(compacted)
        watch = client.watch(b"k", start_revision=2)
        for _ in range(2):
            with pytest.raises(RevisionCompactedError) as caught:
                await within(watch.__anext__())
            assert caught.value.compacted_revision == compacted
        with pytest.raises(RevisionCompactedError):
            await within(client.watch_once(b"k", start_revision=2))
        await until(lambda: watchers(server), lambda count: count == 0)


async def test_a_watch_past_the_compacted_revision_continues(
    etcd_server_factory: ServerFactory,
) -> None:
    async with connect(etcd_server_factory().endpoint) as (client, writer, _):
        start = await writer.put(b"k", b"1")
        async with client.watch(b"k", start_revision=start) as watch:
            await read(watch, 1)
            last = await writer.put(b"k", b"2")
            await writer.compact(last)
            await writer.put(b"k", b"3")
            assert values(await read(watch, 2)) == [b"2", b"3"]


async def test_a_position_compacted_during_a_break_raises_after_the_received_events(
    etcd_server_factory: ServerFactory,
) -> None:
    server = etcd_server_factory()
    async with FaultProxy(server.endpoint) as proxy:
        async with (
            connect(server.endpoint) as (_, writer, _),
            connect(proxy.endpoint) as (
                client,
                _,
                channel,
            ),
        ):
            watch = await client.watch_prefix(b"k")
            sibling = await client.watch(b"other")
            await writer.put_together((b"k1", b"read before"), (b"k2", b"came before"))
            assert values(await read(watch, 1)) == [b"read before"]
            proxy.refuse()
            proxy.cut()
            await until(lambda: watchers(server), lambda count: count == 0)
            for _ in range(3):
                compacted = await writer.put(b"k", b"missed")
            await writer.compact(compacted)  # type: ignore[possibly-undefined] # put above
            proxy.heal()
            assert values(await read(watch, 1)) == [b"came before"]
            with pytest.raises(RevisionCompactedError) as caught:
                await within(watch.__anext__())
            assert caught.value.compacted_revision == compacted
            with pytest.raises(RevisionCompactedError):
                # Its position is compacted too: it had received nothing.
                await within(sibling.__anext__())
            assert channel.reconnects


async def test_progress_keeps_the_position_of_an_idle_watch_from_being_compacted(
    etcd_server_factory: ServerFactory,
) -> None:
    server = etcd_server_factory(args=["--experimental-watch-progress-notify-interval=100ms"])
    if server.version.startswith("3.4."):
        pytest.skip("3.4 cannot be told how often to notify")
    async with FaultProxy(server.endpoint) as proxy:
        async with (
            connect(server.endpoint) as (_, writer, _),
            connect(proxy.endpoint) as (
                client,
                _,
                _,
            ),
        ):
            async with client.watch(b"idle", progress_notify=True) as watch:
                await writer.put(b"k")
                last = await writer.put(b"k")
                async for response in watch.responses():
                    if response.header.revision >= last:
                        break
                proxy.refuse()
                proxy.cut()
                await writer.compact(last)
                proxy.heal()
                await writer.put(b"idle", b"told")
                assert values(await read(watch, 1)) == [b"told"]


# Users -------------------------------------------------------------------------------------


@pytest.fixture
def guarded(etcd_server_factory: ServerFactory) -> EtcdServer:
    """A server with users."""
    return etcd_server_factory(auth_token="simple", auth_token_ttl=60)


@pytest.fixture
def forgetful(etcd_server_factory: ServerFactory) -> EtcdServer:
    """A server with users, whose tokens live for two seconds."""
    return etcd_server_factory(auth_token="simple", auth_token_ttl=2, log_level="debug")


async def add_users(server: EtcdServer) -> None:
    """`reader` may read keys under a/, `nobody` none."""
    await server.enable_auth()
    await server.etcdctl("role", "add", "reading")
    await server.etcdctl("role", "grant-permission", "--prefix", "reading", "read", "a/")
    for name in ("reader", "nobody"):
        await server.etcdctl("user", "add", f"{name}:{name}")
    await server.etcdctl("user", "grant-role", "reader", "reading")


async def test_a_user_without_permission_gets_permission_denied_error(guarded: EtcdServer) -> None:
    await add_users(guarded)
    async with connect(guarded.endpoint, username="nobody", password="nobody") as (client, _, _):
        for _ in range(2):
            with pytest.raises(PermissionDeniedError):
                _ = await within(client.watch(b"a/1"))
        with pytest.raises(PermissionDeniedError):
            await within(client.watch_once(b"a/1"))
        assert await watchers(guarded) == 0


async def test_permission_ends_where_the_range_does(guarded: EtcdServer) -> None:
    await add_users(guarded)
    async with connect(guarded.endpoint, username="reader", password="reader") as (client, _, _):
        allowed = await client.watch_prefix(b"a/")
        with pytest.raises(PermissionDeniedError):
            _ = await within(client.watch_prefix(b"a"))
        await guarded.etcdctl("put", "a/1", "told")
        assert values(await read(allowed, 1)) == [b"told"]


async def test_a_denial_reopens_the_stream_of_other_watches_once_at_most(
    guarded: EtcdServer,
) -> None:
    # A denial may be due to an outdated token, so the stream is reopened with a new one, once.
    await add_users(guarded)
    async with connect(
        guarded.endpoint, username="reader", password="reader", keepalive_timeout=HANG
    ) as (
        client,
        _,
        channel,
    ):
        watches = [await client.watch_prefix(b"a/") for _ in range(5)]
        denied = [asyncio.ensure_future(client.watch(b"b").__aenter__()) for _ in range(20)]
        results = await within(asyncio.gather(*denied, return_exceptions=True))
        assert {type(each) for each in results} == {PermissionDeniedError}
        assert channel.reconnects == 1
        await guarded.etcdctl("put", "a/1", "told")
        for watch in watches:
            assert values(await read(watch, 1)) == [b"told"]


async def test_without_a_user_the_error_says_so(guarded: EtcdServer) -> None:
    await add_users(guarded)
    async with connect(guarded.endpoint) as (client, _, channel):
        with pytest.raises((EmptyUserNameError, PermissionDeniedError)):
            _ = await within(client.watch(b"a/1"))
        assert channel.reconnects == 0


async def test_a_wrong_password_raises_and_is_not_retried_without_end(
    guarded: EtcdServer,
) -> None:
    await add_users(guarded)
    async with connect(guarded.endpoint, username="reader", password="wrong") as (
        client,
        _,
        channel,
    ):
        with pytest.raises(AuthFailedError):
            _ = await within(client.watch(b"a/1"))
        assert channel.reconnects == 0


async def test_a_watch_outlives_its_token(forgetful: EtcdServer) -> None:
    await add_users(forgetful)
    reader = {"username": "reader", "password": "reader"}
    async with FaultProxy(forgetful.endpoint) as proxy:
        async with (
            connect(forgetful.endpoint, **reader) as (client, _, channel),
            connect(proxy.endpoint, **reader) as (cut_off, _, _),
        ):
            first, other = await client.watch_prefix(b"a/"), await cut_off.watch_prefix(b"a/")
            await until(lambda: _forgotten_tokens(forgetful), lambda count: count >= 2)
            # A second watch on the same stream is refused for its token, and both continue.
            second = await within(client.watch_prefix(b"a/"))
            assert channel.reconnects >= 1
            proxy.cut()
            await forgetful.etcdctl("put", "a/1", "told")
            for watch in (first, second, other):
                assert values(await read(watch, 1)) == [b"told"]


async def _forgotten_tokens(server: EtcdServer) -> int:
    """Count the tokens of the user that have expired, from the server's log."""
    lines = server.logs().splitlines()
    return sum("deleted a simple token" in line and '"reader"' in line for line in lines)


async def test_a_watch_continues_when_users_are_changed(guarded: EtcdServer) -> None:
    await add_users(guarded)
    async with connect(guarded.endpoint, username="reader", password="reader") as (client, _, _):
        watches = [await client.watch_prefix(b"a/")]
        for name in ("one", "two", "three"):
            await guarded.etcdctl("user", "add", f"{name}:{name}")
            watches.append(await within(client.watch_prefix(b"a/")))
        await guarded.etcdctl("put", "a/1", "told")
        for watch in watches:
            assert values(await read(watch, 1)) == [b"told"]


async def test_a_role_that_is_taken_away_is_noticed_after_the_next_break(
    guarded: EtcdServer,
) -> None:
    # etcd checks permissions when a watch is created, and not again.
    await add_users(guarded)
    async with FaultProxy(guarded.endpoint) as proxy:
        async with connect(proxy.endpoint, username="reader", password="reader") as (client, _, _):
            watches = [await client.watch_prefix(b"a/") for _ in range(10)]
            await guarded.etcdctl("user", "revoke-role", "reader", "reading")
            proxy.cut()
            for watch in watches:
                with pytest.raises(PermissionDeniedError):
                    await within(watch.__anext__())


async def test_authentication_that_is_switched_on_is_noticed_after_the_next_break(
    guarded: EtcdServer,
) -> None:
    async with FaultProxy(guarded.endpoint) as proxy:
        async with connect(proxy.endpoint) as (client, _, _):
            watch = await client.watch(b"a/1")
            await add_users(guarded)
            proxy.cut()
            with pytest.raises((EmptyUserNameError, PermissionDeniedError)):
                await within(watch.__anext__())


async def test_an_unreachable_server_raises_after_the_timeout(etcd_server: EtcdServer) -> None:
    async with FaultProxy(etcd_server.endpoint) as proxy:
        proxy.refuse()
        async with connect(proxy.endpoint, connect_timeout=1) as (client, _, _):
            assert isinstance(client, WatchClient)
            with pytest.raises(WatchTimeoutError, match="not created within"):
                _ = await within(client.watch(b"k", timeout=0.5))
