"""Watches through the proxy: each gets its own events, in whatever order the proxy answers."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import pytest

from etcd_client import Client
from etcd_testing import EtcdServer, GrpcProxy
from etcd_watch import Event, Watch, Watcher

HANG = 60.0
"""Seconds after which a test counts as hung."""


async def open_together(stack: contextlib.AsyncExitStack, watches: dict[bytes, Watch]) -> None:
    await asyncio.gather(*map(stack.enter_async_context, watches.values()))


async def check(writer: Client, watches: dict[bytes, Watch], value: bytes) -> None:
    """Write each key, and check that its watch gets that."""
    for key in watches:
        await writer.put(key, value)
    for key, watch in watches.items():
        event = await asyncio.wait_for(anext(watch), HANG)
        assert (event.kv.key, event.kv.value) == (key, value)


async def test_two_watches_that_are_created_together_get_their_own_events(
    etcd_grpc_proxy: GrpcProxy, key_prefix: bytes
) -> None:
    async with (
        Client(endpoints=[etcd_grpc_proxy.endpoint]) as client,
        Client(endpoints=[etcd_grpc_proxy.endpoint]) as other,
    ):
        for number in range(10):
            old, new = (key_prefix + b"%d/%s" % (number, name) for name in (b"old", b"new"))
            async with contextlib.AsyncExitStack() as stack:
                # The proxy answers the second watch of a key at once, and asks the member before it
                # answers the first one.
                _ = await stack.enter_async_context(other.watch(old))
                after = (await other.put(key_prefix, b"")).header.revision + 1
                watches = {key: client.watch(key, start_revision=after) for key in (new, old)}
                await open_together(stack, watches)
                await check(other, watches, b"v")


@pytest.mark.parametrize("killed", [False, True])
async def test_many_watches_get_their_own_events_over_restarts_of_the_proxy(killed: bool) -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        async with (
            Client(endpoints=[server.endpoint]) as writer,
            Client(endpoints=[proxy.endpoint]) as client,
            Client(endpoints=[proxy.endpoint]) as other,
            contextlib.AsyncExitStack() as stack,
        ):
            keys = [b"k/%d" % number for number in range(40)]
            await open_together(stack, {key: other.watch(key) for key in keys[::2]})
            after = (await writer.put(b"k", b"")).header.revision + 1
            watches = {key: client.watch(key, start_revision=after) for key in keys}
            await open_together(stack, watches)
            await check(writer, watches, b"before")
            for _ in range(2):
                await (proxy.kill() if killed else proxy.stop())
                await check_while(proxy, writer, watches)
                await check(writer, watches, b"after")


async def check_while(proxy: GrpcProxy, writer: Client, watches: dict[bytes, Watch]) -> None:
    """Write while the proxy is down, and start it."""
    checking = asyncio.create_task(check(writer, watches, b"meanwhile"))
    try:
        await proxy.start()
        await checking
    finally:
        checking.cancel()
        await asyncio.wait([checking])


async def watchers(server: EtcdServer) -> int:
    return int((await server.metrics())["etcd_debugging_mvcc_watcher_total"])


async def test_watches_cancelled_during_their_creation_leave_nothing_on_the_server() -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        async with (
            Client(endpoints=[proxy.endpoint]) as client,
            Client(endpoints=[server.endpoint]) as writer,
        ):
            async with client.watch(b"other") as other:
                before = await watchers(server)
                for number in range(20):
                    creating = asyncio.ensure_future(client.watch(b"k/%d" % number))
                    # It asks in its first step, and the answer cannot have come yet.
                    await asyncio.sleep(0)
                    creating.cancel()
                    await asyncio.wait([creating])
                    assert creating.cancelled()
                    # The answer to this creation comes after the late one.
                    async with client.watch(b"own/%d" % number) as own:
                        await check(writer, {b"own/%d" % number: own}, b"v")
                deadline = asyncio.get_running_loop().time() + HANG
                while (after := await watchers(server)) != before:
                    assert asyncio.get_running_loop().time() < deadline, (before, after)
                    await asyncio.sleep(0.02)
                await check(writer, {b"other": other}, b"v")


async def test_watches_have_ids_of_the_client_which_no_two_share(
    etcd_grpc_proxy: GrpcProxy, key_prefix: bytes
) -> None:
    got: asyncio.Queue[tuple[int, Event | Exception]] = asyncio.Queue()

    async with Client(endpoints=[etcd_grpc_proxy.endpoint]) as client:
        watcher = Watcher(client)
        # More than fit on a stream: the proxy assigns the same IDs on each.
        added = [
            await watcher.add_callback(key_prefix, partial(lambda *call: got.put_nowait(call), n))
            for n in range(70)
        ]
        assert len({each.watch_id for each in added}) == len(added)
        for wanted in (1, 2):
            chosen = await watcher.add_callback(key_prefix + b"chosen", print, watch_id=wanted)
            assert chosen.watch_id == wanted
        assert added[0].watch_id is not None
        await watcher.cancel(added[0].watch_id)
        await client.put(key_prefix, b"")
        called = {(await asyncio.wait_for(got.get(), HANG))[0] for _ in added[1:]}
        assert called == set(range(1, len(added)))
        await watcher.shutdown()
