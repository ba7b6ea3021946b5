"""The spans of streams, and what watches, leases and locks measure."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from opentelemetry.trace import StatusCode

from etcd_auth.rpcs import USER_LIST
from etcd_channel import Channel, ChannelView, Measurement, Middleware, Report
from etcd_channel.rpcs import AUTHENTICATE
from etcd_client import Client, Election, Lock, Mutex
from etcd_testing import FaultProxy, cancel_everywhere
from etcd_testing.played import PlayedEtcd
from etcd_testing.plugin import ServerFactory

from .exported import Exported, attributes_of

HANG = 60.0


async def test_a_watch_through_a_break_has_a_span_for_each_opening(
    exported: Exported, etcd_server_factory: ServerFactory
) -> None:
    server = etcd_server_factory()
    async with FaultProxy(server.endpoint) as proxy:
        async with Client(endpoints=proxy.endpoint, middleware=[exported.view]) as client:
            with exported.tracer.start_as_current_span("program") as program:
                watch = await client.watch(b"k")
            await client.put(b"k", b"1")
            await asyncio.wait_for(anext(watch), HANG)
            proxy.cut()
            await client.get(b"k")  # writes are not repeated, so the connection must be back
            await client.put(b"k", b"2")
            await asyncio.wait_for(anext(watch), HANG)
            await watch.cancel()
    first, *_, last = exported.spans("etcdserverpb.Watch/Watch")
    assert "error.type" in attributes_of(first)
    assert first.status.status_code is StatusCode.ERROR
    assert attributes_of(last)["rpc.response.status_code"] == "CANCELLED"
    assert last.status.status_code is StatusCode.UNSET
    assert first.parent is None
    assert last.parent is None
    assert first.context is not None
    assert [link.context.span_id for link in first.links] == [program.get_span_context().span_id]
    assert program.get_span_context().span_id in [link.context.span_id for link in last.links]
    reconnects = exported.points("etcd.client.reconnects")
    assert sum(point.value for point in reconnects) >= 1
    assert {attributes_of(point)["rpc.method"] for point in reconnects} == {
        "etcdserverpb.Watch/Watch"
    }
    (lag,) = exported.points("etcd.client.watch.lag")
    assert lag.count == 2


async def test_a_reader_that_is_slow_lags_and_its_watch_is_parked(
    exported: Exported, etcd_server_factory: ServerFactory
) -> None:
    server = etcd_server_factory()
    async with Client(endpoints=server.endpoint, middleware=[exported.view]) as client:
        watch = await client.watch(b"k", buffer_bytes=1)
        other = await client.watch(b"k")
        for number in range(5):
            await client.put(b"k", b"%d" % number)
        for _ in range(5):
            await asyncio.wait_for(anext(other), HANG)
        (parked,) = exported.points("etcd.client.watch.parked")
        assert parked.value == 1
        for number in range(5):
            assert (await asyncio.wait_for(anext(watch), HANG)).kv.value == b"%d" % number
        await watch.cancel()
        await other.cancel()
    (parked,) = exported.points("etcd.client.watch.parked")
    assert parked.value == 0
    (lag,) = exported.points("etcd.client.watch.lag")
    assert lag.max >= 4


async def test_a_parked_watch_that_ends_is_not_counted_any_more(
    exported: Exported, etcd_server_factory: ServerFactory
) -> None:
    server = etcd_server_factory()
    async with Client(endpoints=server.endpoint, middleware=[exported.view]) as client:
        parked = [await client.watch(b"k", buffer_bytes=1) for _ in range(2)]
        other = await client.watch(b"k")
        # The second event comes after the first ones of all watches.
        for value in (b"1", b"2"):
            await client.put(b"k", value)
            await asyncio.wait_for(anext(other), HANG)
        (point,) = exported.points("etcd.client.watch.parked")
        assert point.value == 2
        await parked[0].cancel()
        (point,) = exported.points("etcd.client.watch.parked")
        assert point.value == 1
    (point,) = exported.points("etcd.client.watch.parked")
    assert point.value == 0


async def test_a_keep_alive_measures_the_margin_of_its_lease(
    exported: Exported, etcd_server_factory: ServerFactory
) -> None:
    server = etcd_server_factory()
    measured = asyncio.Event()

    class WaitingView(ChannelView):
        def observe(self, report: Report) -> None:
            if isinstance(report, Measurement) and report.metric.name.endswith("margin"):
                measured.set()

    # The one that is made last hears of it last.
    middleware: list[Middleware] = [WaitingView, exported.view]
    async with Client(endpoints=server.endpoint, middleware=middleware) as client:
        async with client.lease(15, keep_alive=True):
            await asyncio.wait_for(measured.wait(), HANG)
    (margin,) = exported.points("etcd.client.lease.margin")
    assert 0 <= margin.min <= margin.max <= 15


async def test_a_lock_with_a_wait_measures_it(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as bare:
        holder = Client.on(bare).lock(key_prefix)
        assert await holder.acquire()
        async with Client(endpoints=etcd_endpoint, middleware=[exported.view]) as client:
            lock = client.lock(key_prefix)
            assert not await lock.acquire(timeout=0)
            acquiring = asyncio.create_task(lock.acquire(timeout=HANG))
            cancelled = asyncio.create_task(client.lock(key_prefix).acquire(timeout=HANG))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            await holder.release()
            assert await acquiring
            await lock.release()
            async with client.session(30) as session, Mutex(session, key_prefix + b"/m"):
                assert await Election(session, key_prefix + b"/e").campaign(b"v")
    waits = {
        (point.attributes["etcd.lock.kind"], point.attributes["etcd.lock.outcome"]): point.count
        for point in exported.points("etcd.client.lock.wait")
    }
    assert waits == {
        ("Election", "acquired"): 1,
        ("Lock", "acquired"): 1,
        ("Lock", "cancelled"): 1,
        ("Lock", "timed_out"): 1,
        ("Mutex", "acquired"): 1,
    }
    names = {span.name for span in exported.spans()}
    assert names > {"Election.campaign", "Lock.acquire", "Mutex.acquire"}


async def test_a_token_that_is_renewed_is_counted_and_no_secret_is_exported(
    exported: Exported,
) -> None:
    refused = False

    async def authenticate(request: Any, context: Any) -> Any:
        return AUTHENTICATE.response(token="the-secret-token")

    async def play(request: Any, context: Any) -> Any:
        nonlocal refused
        if not refused:
            refused = True
            words = "etcdserver: invalid auth token"
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, words)
        return USER_LIST.response()

    played: dict[Any, Any] = {AUTHENTICATE: authenticate, USER_LIST: play}
    async with PlayedEtcd(played) as server:
        async with Client(
            endpoints=server.endpoint,
            username="joe",
            password="correct-horse-battery",
            middleware=[exported.view],
        ) as client:
            await client.user_list()
    (point,) = exported.points("etcd.client.token.renewals")
    assert point.value == 1
    assert "secret-token" not in exported.everything()
    assert "correct-horse" not in exported.everything()


async def test_a_lock_that_is_cancelled_anywhere_leaves_no_open_span(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Client(endpoints=etcd_endpoint, middleware=[exported.view]) as client:
        locks: list[Lock] = []

        async def acquire() -> bool:
            locks.append(client.lock(key_prefix))
            return await locks[-1].acquire()

        async def acquirable() -> None:
            assert await acquire()
            assert await locks[-1].release()

        async def release(acquired: bool) -> None:
            assert acquired
            assert await locks[-1].release()

        assert await cancel_everywhere(acquire, acquirable, undo=release, every=7)
    # Leases may be revoked in the background, until the client is closed.
    assert exported.open_spans() == 0
    assert {span.name for span in exported.spans()} > {"Lock.acquire", "etcdserverpb.KV/Txn"}
