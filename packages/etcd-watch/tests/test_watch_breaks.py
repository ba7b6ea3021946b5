"""After every kind of break a watch delivers each event once, in order, in whole revisions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from watch_support import HANG, Writer, connect, kill, until, watchers

from etcd_channel import Channel, ClientError
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy
from etcd_testing.plugin import ClusterFactory, ServerFactory
from etcd_watch import Watch

# A fault that is repeated on the connection, and its duration in seconds.
Fault = Callable[[FaultProxy], None]
FAULTS: dict[str, tuple[Fault, float]] = {
    "cut": (lambda proxy: _all(proxy.cut), 0.0),
    "reset": (lambda proxy: _all(proxy.reset), 0.0),
    "half close to the client": (lambda proxy: _all(proxy.half_close), 0.0),
    "half close to the server": (lambda proxy: _all(lambda: proxy.half_close("to_server")), 0.0),
    "black hole": (lambda proxy: proxy.black_hole(), 0.05),
    "black hole to the client": (lambda proxy: proxy.black_hole("to_client"), 0.05),
    "lost replies": (lambda proxy: proxy.drop(), 0.05),
    "refused": (lambda proxy: _all(proxy.refuse, proxy.cut), 0.05),
    "torn in the middle": (lambda proxy: proxy.stall_after(20, direction="to_client"), 0.05),
}


def _all(*actions: Callable[[], object]) -> None:
    for action in actions:
        action()


@contextlib.asynccontextmanager
async def again_and_again(proxy: FaultProxy, fault: Fault, lasting: float) -> AsyncIterator[None]:
    """Repeat a fault on the connection in the background, and let it recover each time."""

    async def disturb() -> None:
        while True:
            await asyncio.sleep(0.05)
            fault(proxy)
            await asyncio.sleep(lasting)
            proxy.heal()
            if lasting:
                # Held bytes were passed on by now; a connection that lost bytes was reset.
                proxy.cut()

    task = asyncio.create_task(disturb())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        proxy.heal()


async def write(writer: Writer, prefix: bytes, count: int, pause: float) -> list[tuple[int, int]]:
    """Put numbers, one to five at a revision; returns them as (revision, number)."""
    put: list[tuple[int, int]] = []
    while len(put) < count:
        numbers = range(len(put), len(put) + 1 + len(put) % 5)
        # In a transaction the order of the events is the order of the keys.
        pairs = [(prefix + b"%d" % (number % 10), b"%d" % number) for number in numbers]
        pairs.sort()
        revision = await writer.put_together(*pairs)
        put += [(revision, int(value)) for _, value in pairs]
        await asyncio.sleep(pause)
    return put


async def read_numbers(watch: Watch, count: int) -> list[tuple[int, int]]:
    """Read what was written, and check that no revision is in two responses."""
    seen: list[tuple[int, int]] = []
    async for response in watch.responses():
        told = [(event.kv.mod_revision, int(event.kv.value)) for event in response.events]
        if told:
            assert not seen or seen[-1][0] < told[0][0]
            seen += told
        if len(seen) >= count:
            break
    return seen


@pytest.mark.parametrize("what", FAULTS)
async def test_each_event_is_delivered_once_and_in_order(
    server: EtcdServer, key_prefix: bytes, what: str
) -> None:
    fault, lasting = FAULTS[what]
    async with FaultProxy(server.endpoint) as proxy:
        async with connect(server.endpoint) as (_, writer, _):
            async with connect(proxy.endpoint) as (client, _, channel):
                async with client.watch_prefix(key_prefix) as watch:
                    reading = asyncio.ensure_future(read_numbers(watch, 450))
                    async with again_and_again(proxy, fault, lasting):
                        put = await write(writer, key_prefix, 450, 0.004)
                    assert await asyncio.wait_for(reading, HANG) == put
                    assert channel.reconnects
    await until(lambda: watchers(server), lambda count: count == 0)


async def test_fragments_and_progress_make_no_difference(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    arguments = ["--experimental-watch-progress-notify-interval=100ms"]
    server = etcd_server_factory()
    if not server.version.startswith("3.4."):
        server = etcd_server_factory(args=arguments)
    async with FaultProxy(server.endpoint) as proxy:
        async with connect(server.endpoint) as (_, writer, _):
            async with connect(proxy.endpoint) as (client, _, channel):
                async with client.watch_prefix(
                    key_prefix, progress_notify=True, fragment=True, buffer_bytes=500
                ) as watch:
                    reading = asyncio.ensure_future(read_numbers(watch, 450))
                    async with again_and_again(proxy, *FAULTS["cut"]):
                        put = await write(writer, key_prefix, 450, 0.004)
                    assert await asyncio.wait_for(reading, HANG) == put
                    assert channel.reconnects


async def test_a_break_before_the_first_event_loses_nothing(
    server: EtcdServer, key_prefix: bytes
) -> None:
    async with FaultProxy(server.endpoint) as proxy:
        async with connect(server.endpoint) as (_, writer, _):
            async with connect(proxy.endpoint) as (client, _, _):
                watch = await client.watch_prefix(key_prefix)
                proxy.refuse()
                proxy.cut()
                put = await write(writer, key_prefix, 20, 0)
                proxy.heal()
                assert await asyncio.wait_for(read_numbers(watch, 20), HANG) == put


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_restart_of_the_server_loses_nothing(
    etcd_server_factory: ServerFactory, key_prefix: bytes, how: str
) -> None:
    server = etcd_server_factory()
    async with connect(server.endpoint) as (client, writer, _):
        watch = await client.watch_prefix(key_prefix)
        idle = await client.watch_prefix(key_prefix + b"idle")
        reading = asyncio.ensure_future(read_numbers(watch, 60))
        put: list[tuple[int, int]] = []
        for number in range(3):
            if number:
                await (server.stop() if how == "stop" else kill(server))
                await server.start()
            async with connect(server.endpoint) as (_, direct, _):
                put += [
                    (await direct.put(key_prefix + b"k", b"%d" % value), value)
                    for value in range(20 * number, 20 * number + 20)
                ]
        assert await asyncio.wait_for(reading, HANG) == put
        last = await writer.put(key_prefix + b"idle", b"0")
        assert await asyncio.wait_for(read_numbers(idle, 1), HANG) == [(last, 0)]


# Clusters ----------------------------------------------------------------------------------

LAST = 1_000_000
"""The last number that is put."""


@pytest.fixture
def cluster(etcd_cluster_factory: ClusterFactory) -> EtcdCluster:
    return etcd_cluster_factory(3)


async def watched(cluster: EtcdCluster) -> EtcdServer:
    """Return the member that has the one watcher."""

    async def look() -> list[EtcdServer]:
        running = [member for member in cluster.members if member.running and not member.paused]
        return [member for member in running if await watchers(member)]

    (found,) = await until(look, lambda members: len(members) == 1)
    return found


async def put_some(writer: Writer, key: bytes, numbers: range) -> None:
    """Put numbers in a cluster that may lose members meanwhile; some puts may fail."""
    for number in numbers:
        with contextlib.suppress(ClientError):
            await writer.put(key, b"%d" % number)


async def put_last(endpoints: list[str], key: bytes) -> None:
    """Put the last number, at least once."""
    async with connect(*endpoints) as (_, writer, _):

        async def put() -> bool:
            with contextlib.suppress(ClientError):
                return bool(await writer.put(key, b"%d" % LAST))
            return False

        await until(put, bool)


async def read_to_the_last(watch: Watch) -> list[tuple[int, int]]:
    """Read numbers up to the last."""
    seen = []
    async for event in watch:
        seen.append((event.kv.mod_revision, int(event.kv.value)))
        if seen[-1][1] == LAST:
            break
    return seen


async def history(cluster: EtcdCluster, key: bytes) -> list[tuple[int, int]]:
    """Return all events from one member, read without a break."""
    leader = await cluster.leader()
    async with connect(leader.endpoint) as (client, _, _):
        watch = await client.watch(key, start_revision=1)
        return await asyncio.wait_for(read_to_the_last(watch), HANG)


async def test_a_watch_continues_on_another_member_when_its_own_is_killed(
    cluster: EtcdCluster, key_prefix: bytes
) -> None:
    async with (
        connect(*cluster.endpoints) as (client, _, _),
        # Without a leader a put takes as long as its timeout.
        connect(*cluster.endpoints, timeout=1) as (_, writer, _),
    ):
        watch = await client.watch(key_prefix)
        reading = asyncio.ensure_future(read_to_the_last(watch))
        for number in range(3):
            await put_some(writer, key_prefix, range(20 * number, 20 * number + 10))
            member = await watched(cluster)
            await kill(member)
            await put_some(writer, key_prefix, range(20 * number + 10, 20 * number + 20))
            await member.start()
        await put_last(cluster.endpoints, key_prefix)
        seen = await asyncio.wait_for(reading, HANG)
        assert seen == await history(cluster, key_prefix)
        assert len(seen) > 30


async def test_a_watch_leaves_a_member_that_lost_its_leader(
    cluster: EtcdCluster, key_prefix: bytes
) -> None:
    async with connect(*cluster.endpoints) as (client, _, channel):
        watch = await client.watch(key_prefix)
        reading = asyncio.ensure_future(read_to_the_last(watch))
        member = await watched(cluster)
        others = [other for other in cluster.members if other is not member]
        for other in others:
            await kill(other)
        # Without a majority the member ends the stream by itself; nothing else breaks.
        await reconnects(channel, more_than=0)
        await asyncio.gather(*(other.start() for other in others))
        await put_last(cluster.endpoints, key_prefix)
        assert await asyncio.wait_for(reading, HANG) == await history(cluster, key_prefix)


async def reconnects(channel: Channel, more_than: int) -> None:
    """Wait until a stream of the channel was reopened `count` times."""

    async def count() -> int:
        return channel.reconnects

    await until(count, lambda found: found > more_than)


async def test_a_member_that_lags_behind_repeats_no_event(
    cluster: EtcdCluster, key_prefix: bytes
) -> None:
    # It is paused while the others continue, and resumed when the watch has just moved to it.
    leader = await cluster.leader()
    sleepy, _ = await cluster.followers()
    async with FaultProxy(leader.endpoint) as proxy:
        async with connect(proxy.endpoint, connect_timeout=1.5) as (client, _, channel):
            watch = await client.watch(key_prefix)
            reading = asyncio.ensure_future(read_to_the_last(watch))
            async with connect(leader.endpoint) as (_, writer, _):
                for number in range(4):
                    await sleepy.pause()
                    await put_some(writer, key_prefix, range(20 * number, 20 * number + 20))
                    broken = channel.reconnects
                    proxy.upstream = sleepy.endpoint
                    proxy.cut()
                    await reconnects(channel, more_than=broken)
                    await sleepy.resume()
                    await until(lambda: watchers(sleepy), lambda count: count == 1)
                    proxy.upstream = leader.endpoint
                    proxy.cut()
                    await until(lambda: watchers(leader), lambda count: count == 1)
            await put_last([leader.endpoint], key_prefix)
            seen = await asyncio.wait_for(reading, HANG)
    assert seen == await history(cluster, key_prefix)
    assert len(seen) > 60
