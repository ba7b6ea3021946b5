"""Middleware that traces, delays or refuses calls, below all services."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message

from etcd_channel import (
    Channel,
    ChannelLike,
    ChannelView,
    FailedAttempt,
    Rpc,
    Stream,
    StreamHandler,
)
from etcd_client import Client
from etcd_lock import Mutex
from etcd_testing import FaultProxy

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

# Python 3.10 loses the message of a cancellation between two tasks.
MESSAGE = "enough" if sys.version_info >= (3, 11) else None


class TracingView(ChannelView):
    """Records the start and the outcome of each call."""

    span: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="")

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.spans: list[tuple[str, str]] = []

    async def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> ResponseT:
        with self._traced(rpc.name):
            return await super().call(rpc, request, timeout=timeout, endpoint=endpoint)

    async def download(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> AsyncGenerator[ResponseT, None]:
        with self._traced(rpc.name):
            responses = super().download(rpc, request, timeout=timeout, endpoint=endpoint)
            async with aclosing(responses):
                async for response in responses:
                    yield response

    def stream(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Stream[RequestT, ResponseT]:
        self.spans.append((rpc.name, "opened"))
        stream = super().stream(rpc, handler, metadata=metadata)
        stream.on_end(lambda _: self.spans.append((rpc.name, "ended")))
        return stream

    @contextlib.contextmanager
    def _traced(self, name: str) -> Any:
        token = self.span.set(name)
        try:
            yield
        except BaseException as error:
            self.spans.append((name, type(error).__name__))
            raise
        else:
            self.spans.append((name, "ok"))
        finally:
            self.span.reset(token)


class LimitingView(ChannelView):
    """Limits the number of calls in flight; others wait."""

    def __init__(self, inner: ChannelLike, most: int) -> None:
        super().__init__(inner)
        self.room = asyncio.Semaphore(most)
        self.arrived = asyncio.Event()

    async def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> ResponseT:
        self.arrived.set()
        async with self.room:
            return await super().call(rpc, request, timeout=timeout, endpoint=endpoint)


class Refused(Exception):
    """An error of the program's own policy."""


class RefusingView(ChannelView):
    """Refuses RPCs by name."""

    def __init__(self, inner: ChannelLike, *names: str) -> None:
        super().__init__(inner)
        self.names = names

    def rpc_for(self, rpc: Rpc[RequestT, ResponseT]) -> Rpc[RequestT, ResponseT]:
        if rpc.name in self.names:
            raise Refused(rpc.name)
        return rpc


class MeasuringView(ChannelView):
    """Counts the calls in flight, and keeps the maximum."""

    now = most = total = 0

    async def call(self, *args: Any, **options: Any) -> Any:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)
        try:
            return await super().call(*args, **options)
        finally:
            self.now -= 1


@pytest.fixture
async def channel(etcd_endpoint: str) -> AsyncIterator[Channel]:
    async with Channel(etcd_endpoint) as channel:
        yield channel


async def nothing_is_left(channel: Channel, prefix: bytes, leases: set[int]) -> None:
    """Wait until no key has the prefix, and only these leases exist."""
    everything = Client.on(channel)

    async def wait() -> None:
        while set(await everything.leases()) - leases or len(await everything.get_prefix(prefix)):
            pass

    # The cleanup runs in the background.
    await asyncio.wait_for(wait(), HANG)


# Tracing -----------------------------------------------------------------------------------


async def test_every_call_and_stream_of_a_client_has_its_span(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with TracingView(Channel(etcd_endpoint)) as view:
        client, bare = Client.on(view), Client.on(view.inner)
        await client.put(key_prefix, b"v")
        # Streams that are open on the channel itself do not go through the view.
        async with bare.watch(key_prefix), bare.session(30):
            async with client.watch(key_prefix):
                pass
            async with client.session(30) as session, Mutex(session, key_prefix + b"/m"):
                await client.get(key_prefix)
        await client.snapshot(io.BytesIO())
    assert view.spans[0] == ("KV.Put", "ok")
    assert ("Watch.Watch", "opened") in view.spans
    assert ("Lease.LeaseKeepAlive", "opened") in view.spans
    assert ("KV.Txn", "ok") in view.spans
    assert ("Maintenance.Snapshot", "ok") in view.spans
    assert view.spans.count(("Watch.Watch", "ended")) == 1
    assert view.spans.count(("Lease.LeaseKeepAlive", "ended")) == 1


async def test_failed_attempts_are_reported_within_the_span_of_their_call(
    etcd_endpoint: str,
) -> None:
    told: list[tuple[str, str]] = []

    def note(attempt: FailedAttempt) -> None:
        told.append((TracingView.span.get(), attempt.rpc))

    async with FaultProxy(etcd_endpoint) as proxy:
        channel = Channel(proxy.endpoint, on_failed_attempt=note, keepalive_timeout=60)
        async with TracingView(channel) as view:
            client = Client.on(view)
            await client.get(b"k")
            killed = proxy.kill_next_reply()
            await client.get(b"k")
            await killed
    assert view.spans == [("KV.Range", "ok")] * 2
    assert told == [("KV.Range", "KV.Range")]


async def test_a_cancellation_passes_a_view_unchanged(channel: Channel, key_prefix: bytes) -> None:
    view = TracingView(channel)
    client = Client.on(view)
    getting = asyncio.create_task(client.get(key_prefix))
    await asyncio.sleep(0)  # it is sent, and no answer can be there
    getting.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match=MESSAGE):
        await getting
    assert view.spans == [("KV.Range", "CancelledError")]


# Waiting -----------------------------------------------------------------------------------


async def test_a_view_may_wait_before_it_passes_a_call_on(
    channel: Channel, key_prefix: bytes
) -> None:
    measuring = MeasuringView(channel)
    client = Client.on(LimitingView(measuring, 3))
    await asyncio.gather(*(client.put(key_prefix + b"%d" % n, b"v") for n in range(30)))
    assert (measuring.total, measuring.most, measuring.now) == (30, 3, 0)
    async with client.lock(key_prefix + b"/lock"), client.session() as session:
        async with Mutex(session, key_prefix + b"/m"):
            assert len(await client.get_prefix(key_prefix)) > 30


async def test_a_call_that_is_cancelled_while_a_view_waits_is_not_sent(
    channel: Channel, key_prefix: bytes
) -> None:
    measuring = MeasuringView(channel)
    view = LimitingView(measuring, 1)
    client = Client.on(view)
    async with view.room:
        waiting = asyncio.create_task(client.put(key_prefix, b"v"))
        await asyncio.wait_for(view.arrived.wait(), HANG)
        waiting.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match=MESSAGE):
            await waiting
    assert measuring.total == 0
    assert await client.get(key_prefix) is None


@pytest.mark.parametrize("turn", range(3))
async def test_a_lock_that_is_cancelled_while_a_view_delays_a_call_leaves_nothing(
    channel: Channel, key_prefix: bytes, turn: int
) -> None:
    held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    passed = 0

    class Holding(ChannelView):
        """Delays one call of the acquisition, by its number, until its task is cancelled."""

        async def call(self, *args: Any, **options: Any) -> Any:
            nonlocal passed
            passed += 1
            if passed == turn + 1 and not held.done():
                held.set_result(None)
                await asyncio.wait_for(asyncio.Event().wait(), HANG)
            return await super().call(*args, **options)

    leases = set(await Client.on(channel).leases())

    async def work() -> None:
        async with Client.on(Holding(channel)).lock(key_prefix, ttl=60):
            if not held.done():
                held.set_result(None)
            await asyncio.wait_for(asyncio.Event().wait(), HANG)

    task = asyncio.create_task(work())
    await asyncio.wait_for(held, HANG)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match=MESSAGE):
        await asyncio.wait_for(task, HANG)
    await nothing_is_left(channel, key_prefix, leases)


# Refusing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("KV.Put", lambda client, key: client.put(key, b"v")),
        ("KV.Txn", lambda client, key: client.lock(key).acquire()),
        ("Lease.LeaseGrant", lambda client, key: client.lock(key).acquire()),
        ("Lease.LeaseGrant", lambda client, key: client.session().__aenter__()),
        ("Lease.LeaseKeepAlive", lambda client, key: client.session().__aenter__()),
        ("Watch.Watch", lambda client, key: client.watch(key).__aenter__()),
        ("Maintenance.Snapshot", lambda client, key: client.snapshot(io.BytesIO())),
    ],
)
async def test_an_exception_of_a_view_reaches_the_caller(
    channel: Channel, key_prefix: bytes, name: str, use: Callable[..., Coroutine[Any, Any, Any]]
) -> None:
    leases = set(await Client.on(channel).leases())
    refusing = Client.on(RefusingView(channel, name))
    with pytest.raises(Refused, match=name):
        await asyncio.wait_for(use(refusing, key_prefix), HANG)
    await nothing_is_left(channel, key_prefix, leases)
