"""Scans whose connections break, and scans that are cancelled, closed or left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest
from kv_support import PASSWORD, PATIENT, server_with_users

from etcd_channel import Channel, ClientError
from etcd_channel.errors import ClientClosedError, PermissionDeniedError
from etcd_kv import KVClient, Scan
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy, cancel_everywhere


def numbers(prefix: bytes, count: int) -> list[bytes]:
    return [prefix + b"%05d" % number for number in range(count)]


async def put_all(kv: KVClient, keys: list[bytes]) -> None:
    await kv.put_many((key, b"v") for key in keys)


async def insist(write: Callable[[], Awaitable[object]]) -> None:
    """Write until it succeeds: an election fails a write."""

    async def attempts() -> None:
        while True:
            with contextlib.suppress(ClientError):
                await write()
                return

    await asyncio.wait_for(attempts(), 120)


def scan_tasks() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "etcd scan"]


async def until_no_scan_task() -> None:
    # Python closes a generator that was left by a task, which cancels that of the scan.
    for _ in range(3):
        await asyncio.sleep(0)
    if tasks := scan_tasks():
        await asyncio.wait(tasks)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("fault", ["cut", "reset", "kill_next_reply"])
async def test_a_scan_survives_connections_that_break(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes, fault: str, reverse: bool
) -> None:
    keys = numbers(key_prefix, 400)
    await put_all(kv, keys)
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint, **PATIENT) as channel:
        scan = KVClient(channel).scan_prefix(key_prefix, page_size=30, reverse=reverse)
        seen = []
        async for page in scan.pages():
            seen += [item.key for item in page]
            if len(seen) // 100 != (len(seen) - len(page)) // 100:
                getattr(proxy, fault)()
        assert seen == (keys[::-1] if reverse else keys)


async def test_a_scan_survives_a_restart_of_the_server() -> None:
    async with EtcdServer() as server, Channel(server.endpoint, connect_timeout=60) as channel:
        kv = KVClient(channel)
        keys = numbers(b"k/", 300)
        await put_all(kv, keys)
        scan = kv.scan_prefix(b"k/", page_size=30)
        seen = [(await anext(scan)).key for _ in range(100)]
        await server.restart()
        seen += [item.key async for item in scan]
        assert seen == keys


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_scan_continues_on_another_member(reverse: bool) -> None:
    async with (
        # Members that do not elect another leader whenever the machine stands still for a moment.
        EtcdCluster(3, args=["--heartbeat-interval=200", "--election-timeout=2000"]) as cluster,
        Channel(cluster.endpoints, **PATIENT) as channel,
    ):
        kv = KVClient(channel)
        keys = numbers(b"k/", 300)
        await insist(lambda: put_all(kv, keys))
        scan = kv.scan_prefix(b"k/", page_size=30, reverse=reverse, timeout=60)
        seen = [(await anext(scan)).key for _ in range(100)]
        revision = scan.revision
        await insist(lambda: kv.put(keys[0], b"too late"))
        # Some member is the one in use; the two others can still elect a leader.
        for member in cluster.members:
            await member.kill()
            seen += [(await anext(scan)).key for _ in range(30)]
            await member.start()
        seen += [item.key async for item in scan]
        assert seen == (keys[::-1] if reverse else keys)
        assert scan.revision == revision


async def test_an_error_is_raised_after_all_keys_that_were_read_and_ends_the_scan(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    keys = numbers(key_prefix, 200)
    await put_all(kv, keys)
    async with (
        FaultProxy(etcd_endpoint) as proxy,
        Channel(proxy.endpoint, connect_timeout=5) as channel,
    ):
        scan = KVClient(channel).scan_prefix(key_prefix, page_size=30)
        seen = [(await anext(scan)).key]
        proxy.refuse()
        proxy.cut()

        async def scan_on() -> None:
            async for item in scan:
                seen.append(item.key)  # noqa: PERF401  # keeps what came before the error

        with pytest.raises(ClientError):
            await scan_on()
        assert seen == keys[: len(seen)]
        assert (scan.last_key, scan.done) == (seen[-1], len(seen))
        assert [item async for item in scan] == []
        assert not scan_tasks()


async def test_a_scan_on_a_closed_client_raises(kv: KVClient, key_prefix: bytes) -> None:
    await put_all(kv, numbers(key_prefix, 100))
    scan = kv.scan_prefix(key_prefix, page_size=10)
    await anext(scan)
    await kv.channel.close()
    with pytest.raises(ClientClosedError):
        _ = [item async for item in scan]
    assert not scan_tasks()


@pytest.mark.parametrize("reverse", [False, True])
async def test_nothing_is_left_of_a_scan_that_is_cancelled_anywhere(
    kv: KVClient, key_prefix: bytes, reverse: bool
) -> None:
    await put_all(kv, numbers(key_prefix, 30))

    async def scan() -> None:
        keys = 0
        async for _ in kv.scan_prefix(key_prefix, page_size=12, reverse=reverse):
            keys += 1
            if keys == 13:
                await asyncio.sleep(0)
        assert keys == 30

    async def check() -> None:
        # The generator of a task that was cancelled at its own await is closed by the event loop.
        await asyncio.wait_for(until_no_scan_task(), 60)

    assert await cancel_everywhere(scan, check, every=7) > 5


async def test_nothing_is_left_of_a_scan_whose_closing_is_cancelled(
    kv: KVClient, key_prefix: bytes
) -> None:
    await put_all(kv, numbers(key_prefix, 30))

    async def scan() -> None:
        async with kv.scan_prefix(key_prefix, page_size=4) as scan:
            await anext(scan)

    async def check() -> None:
        assert not scan_tasks()

    assert await cancel_everywhere(scan, check, every=3) > 5


async def test_a_scan_that_is_closed_waits_for_its_read(kv: KVClient, key_prefix: bytes) -> None:
    await put_all(kv, numbers(key_prefix, 30))
    scan = kv.scan_prefix(key_prefix, page_size=4)
    await anext(scan)
    assert len(scan_tasks()) == 1
    await scan.aclose()
    assert not scan_tasks()
    await scan.aclose()
    assert [item async for item in scan] == []
    unused = kv.scan_prefix(key_prefix)
    await unused.aclose()
    assert [page async for page in unused.pages()] == []


async def test_a_scan_that_is_left_reads_one_page_ahead_and_no_more(
    kv: KVClient, key_prefix: bytes
) -> None:
    await put_all(kv, numbers(key_prefix, 300))
    scan = kv.scan_prefix(key_prefix, page_size=4)
    async for _ in scan:
        break
    await asyncio.wait_for(until_no_scan_task(), 60)
    assert scan.done == 0
    # It still is where it was left.
    assert len([item async for item in scan]) == 299


async def test_a_scan_that_is_deleted_is_closed(kv: KVClient, key_prefix: bytes) -> None:
    await put_all(kv, numbers(key_prefix, 30))
    gc.collect()
    gc.disable()
    try:
        async for _ in kv.scan_prefix(key_prefix, page_size=4):
            break
        async for _ in kv.scan_prefix(key_prefix, page_size=4).pages():
            break
        await asyncio.wait_for(until_no_scan_task(), 60)
        # Without the help of the collector of cycles.
        assert not [found for found in gc.get_objects() if isinstance(found, Scan)]
    finally:
        gc.enable()


async def test_an_error_of_a_page_that_nobody_asks_for_is_not_reported(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    await put_all(kv, numbers(key_prefix, 30))
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        async with (
            FaultProxy(etcd_endpoint) as proxy,
            Channel(proxy.endpoint, connect_timeout=5) as channel,
        ):
            scan = KVClient(channel).scan_prefix(key_prefix, page_size=4)
            async for _ in scan:
                proxy.refuse()
                proxy.cut()
                break
            await asyncio.wait_for(until_no_scan_task(), 60)
            del scan
            gc.collect()
            await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert reported == []


async def test_two_scans_of_one_client_do_not_disturb_each_other(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = numbers(key_prefix, 200)
    await put_all(kv, keys)

    async def scan(reverse: bool) -> list[bytes]:
        return [item.key async for item in kv.scan_prefix(key_prefix, page_size=9, reverse=reverse)]

    results = await asyncio.gather(*(scan(number % 2 == 1) for number in range(6)))
    for number, found in enumerate(results):
        assert found == (keys[::-1] if number % 2 else keys)


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[EtcdServer]:
    """A server where reader may read what begins with "open/"."""
    with server_with_users({"reader": "read"}) as server:
        yield server


async def test_a_user_may_scan_the_range_that_is_permitted_and_no_more(
    guarded_server: EtcdServer,
) -> None:
    keys = numbers(b"open/", 600)
    async with Channel(guarded_server.endpoint, username="root", password="root") as channel:
        await put_all(KVClient(channel), keys + numbers(b"zone/", 10))
    async with Channel(guarded_server.endpoint, username="reader", password=PASSWORD) as channel:
        kv = KVClient(channel)
        assert [item.key async for item in kv.scan_prefix(b"open/", page_bytes=3000)] == keys
        backward = kv.scan_prefix(b"open/", page_bytes=3000, reverse=True)
        assert [item.key async for item in backward] == keys[::-1]
        for reverse in (False, True):
            for after in (b"a", b"open/", keys[0], keys[-1], b"open0", b"zone/"):
                left = sum(key < after if reverse else key > after for key in keys)
                rest = kv.scan_prefix(b"open/", start_after=after, reverse=reverse)
                assert len([item async for item in rest]) == left
        with pytest.raises(PermissionDeniedError):
            await anext(kv.scan_prefix(b"zone/"))
        with pytest.raises(PermissionDeniedError):
            await anext(kv.scan_prefix(b"", reverse=True))
