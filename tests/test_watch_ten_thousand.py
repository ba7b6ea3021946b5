"""Ten thousand puts, watched through a connection that breaks every 200 ms: each event once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from etcd_client import Client, Watch
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.plugin import ServerFactory

COUNT = 10_000
PATIENT: dict[str, Any] = {"connect_wait_timeout": 60, "keepalive_timeout": 60, "timeout": 60}
HANG = 300  # seconds after which the test has hung; nothing is measured by it


def breaks(proxy: FaultProxy) -> list[Callable[[], object]]:
    """The ways to break a connection, used in turn."""
    return [proxy.cut, proxy.reset, proxy.half_close, lambda: proxy.half_close("to_server")]


@contextlib.asynccontextmanager
async def broken_again_and_again(
    proxy: FaultProxy, ways: list[Callable[[], object]]
) -> AsyncIterator[None]:
    async def disturb() -> None:
        for way in itertools.cycle(ways):
            await asyncio.sleep(0.2)
            way()

    task = asyncio.create_task(disturb())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        proxy.heal()


async def put_all(client: Client, prefix: bytes) -> list[tuple[int, int]]:
    """Put the numbers, one to five in a transaction; return (revision, number) of each."""
    txn = client.transactions
    put: list[tuple[int, int]] = []
    sizes = itertools.cycle((1, 2, 3, 4, 5))
    while len(put) < COUNT:
        numbers = range(len(put), min(len(put) + next(sizes), COUNT))
        done = await client.transaction(
            [], [txn.put(prefix + b"%06d" % number, b"%d" % number) for number in numbers]
        )
        put += [(done.header.revision, number) for number in numbers]
    return put


async def read_all(watch: Watch) -> list[tuple[int, int]]:
    """Read that many events, and check that no response ends within a revision."""
    received: list[tuple[int, int]] = []
    async for response in watch.responses():
        events = [(event.kv.mod_revision, int(event.kv.value)) for event in response.events]
        if events:
            assert not received or received[-1][0] < events[0][0]
            received += events
        if len(received) >= COUNT:
            break
    return received


@pytest.mark.parametrize("progress", [False, True], ids=["", "with progress notifications"])
async def test_each_of_ten_thousand_events_is_delivered_once_over_breaks(
    etcd_server_factory: ServerFactory, key_prefix: bytes, progress: bool
) -> None:
    server = etcd_server_factory()
    if progress and not server.version.startswith("3.4."):
        server = etcd_server_factory(args=["--experimental-watch-progress-notify-interval=100ms"])
    async with (
        FaultProxy(server.endpoint) as proxy,
        Client(endpoints=server.endpoint, **PATIENT) as writer,
        Client(endpoints=proxy.endpoint, **PATIENT) as reader,
        reader.watch_prefix(key_prefix, progress_notify=progress) as watch,
    ):
        reading = asyncio.create_task(read_all(watch))
        async with broken_again_and_again(proxy, breaks(proxy)):
            put = await put_all(writer, key_prefix)
        assert await asyncio.wait_for(reading, HANG) == put
        assert reader.channel.reconnects


async def test_each_of_ten_thousand_events_is_delivered_once_over_a_black_hole(
    etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    async with (
        FaultProxy(etcd_server.endpoint) as proxy,
        Client(endpoints=etcd_server.endpoint, **PATIENT) as writer,
        Client(endpoints=proxy.endpoint, **PATIENT) as reader,
        reader.watch_prefix(key_prefix) as watch,
    ):
        reading = asyncio.create_task(read_all(watch))
        # Bytes lost in the black hole are not sent again, so the connection is useless.
        async with broken_again_and_again(proxy, [proxy.drop, proxy.heal, proxy.reset]):
            put = await put_all(writer, key_prefix)
        proxy.reset()
        assert await asyncio.wait_for(reading, HANG) == put


async def test_each_of_ten_thousand_events_is_delivered_once_over_restarts_of_the_server(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory()
    async with (
        Client(endpoints=server.endpoint, **PATIENT) as client,
        Client(endpoints=server.endpoint, **PATIENT) as reader,
        reader.watch_prefix(key_prefix) as watch,
    ):
        reading = asyncio.create_task(read_all(watch))
        txn = client.transactions
        put: list[tuple[int, int]] = []
        for begin in range(0, COUNT, 100):
            if begin % 2500 == 0:
                # A snapshot commits what was written: killed before that, etcd 3.5.0 to 3.5.2
                # may lose writes that they had acknowledged (etcd issue 13766).
                await server.etcdctl("snapshot", "save", str(server.directory / "snapshot"))
                await server.kill()
                await server.restart()
            done = await client.transaction(
                [],
                [
                    txn.put(key_prefix + b"%06d" % number, b"%d" % number)
                    for number in range(begin, begin + 100)
                ],
            )
            put += [(done.header.revision, number) for number in range(begin, begin + 100)]
        assert await asyncio.wait_for(reading, HANG) == put
