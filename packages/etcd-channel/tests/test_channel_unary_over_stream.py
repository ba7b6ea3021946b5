"""A unary call over a bidirectional stream is half-closed only after the response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from channel_support import HANG, WATCH

from etcd_channel import Channel, ClientClosedError, ConnectionFailedError, errors
from etcd_channel._grpc_result import CallCancelled, grpc_result
from etcd_channel._unary_over_stream import UnaryOverStream
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd, messages

REQUEST = messages.WatchRequest(create_request={"key": b"k"})


class Silent:
    """A server that answers nothing, and counts its open streams."""

    def __init__(self) -> None:
        self.open = 0
        self._changed = asyncio.Event()

    async def play(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self.open += 1
        self._changed.set()
        try:
            async for _ in requests:
                pass
            await asyncio.Event().wait()
            yield messages.WatchResponse()
        finally:
            self.open -= 1
            self._changed.set()

    async def until_open(self, count: int) -> None:
        async def wait() -> None:
            while self.open != count:
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), HANG)


async def _no_other_tasks() -> None:
    """Return when nothing of such a call is left in this loop."""
    left = [task for task in asyncio.all_tasks() if "one answer" in task.get_name()]
    if left:
        _, pending = await asyncio.wait(left, timeout=HANG)
        assert not pending


async def test_the_stream_is_half_closed_only_after_the_response() -> None:
    early: list[bool] = []

    async def as_the_proxy(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """As etcd's grpc-proxy: a client that ends its side is given up, and gets no answer."""
        await anext(requests)
        farewell = asyncio.ensure_future(anext(requests, None))
        await asyncio.wait([farewell], timeout=0.1)
        early.append(farewell.done())
        if farewell.done():
            await context.abort(grpc.StatusCode.CANCELLED, "context canceled")
        farewell.cancel()
        yield messages.WatchResponse(watch_id=7)

    async with PlayedEtcd({WATCH: as_the_proxy}) as server:
        async with Channel(server.endpoint) as channel:
            response = await channel.call(WATCH, REQUEST)
            assert response.watch_id == 7
            await _no_other_tasks()
    assert early == [False]


async def test_etcd_answers_such_a_call(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as channel:
        answers = await asyncio.gather(*(channel.call(WATCH, REQUEST) for _ in range(50)))
        assert all(answer.created for answer in answers)
        await _no_other_tasks()


async def test_no_watcher_remains_on_the_server() -> None:
    async with EtcdServer() as server, Channel(server.endpoint) as channel:
        for _ in range(20):
            await channel.call(WATCH, REQUEST)
        deadline = asyncio.get_running_loop().time() + HANG
        while (await server.metrics())["etcd_debugging_mvcc_watcher_total"]:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)


async def test_a_refusal_has_the_status_of_the_server() -> None:
    async def refuse(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
        yield

    async with PlayedEtcd({WATCH: refuse}) as server, Channel(server.endpoint) as channel:
        for _ in range(1000):
            with pytest.raises(errors.PermissionDeniedError):
                await channel.call(WATCH, REQUEST)


async def test_an_rpc_that_the_server_does_not_have_is_unsupported() -> None:
    async with PlayedEtcd() as server, Channel(server.endpoint) as channel:
        for _ in range(50):
            with pytest.raises(errors.UnsupportedByServerError):
                await channel.call(WATCH, REQUEST)


async def test_an_end_without_a_response_is_a_failed_connection() -> None:
    async def leave(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        return
        yield

    async with PlayedEtcd({WATCH: leave}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(ConnectionFailedError, match="without a response") as raised:
            await channel.call(WATCH, REQUEST)
        assert not raised.value.definite
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_call_whose_response_is_lost_is_sent_again(etcd_endpoint: str) -> None:
    again: Any = type(WATCH)(WATCH.path, WATCH.request, WATCH.response, True, duplex=True)
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as channel:
        await channel.connect()
        killed = proxy.kill_next_reply()
        assert (await channel.call(again, REQUEST)).created
        assert killed.done()


async def test_the_timeout_holds_and_ends_the_stream() -> None:
    silent = Silent()
    async with PlayedEtcd({WATCH: silent.play}) as server:
        async with Channel(server.endpoint) as channel:
            with pytest.raises(errors.ConnectionTimeoutError):
                await channel.call(WATCH, REQUEST, timeout=0.3)
            await silent.until_open(0)
            await _no_other_tasks()


async def cancellation_of(call: Awaitable[object]) -> tuple[object, ...]:
    """Await a call that is cancelled, and return with which message: where it is caught, for
    Python 3.10 does not hand it on from a task to those that await it."""
    try:
        await call
    except asyncio.CancelledError as error:
        return error.args
    raise AssertionError("the cancellation was swallowed")


async def test_the_cancellation_of_the_caller_is_unchanged_and_ends_the_stream() -> None:
    silent = Silent()
    async with PlayedEtcd({WATCH: silent.play}) as server:
        async with Channel(server.endpoint) as channel:
            await channel.connect()
            for turns in range(60):
                call = asyncio.create_task(cancellation_of(channel.call(WATCH, REQUEST)))
                for _ in range(turns + 1):
                    await asyncio.sleep(0)
                call.cancel("enough")
                assert await call == ("enough",)
            await silent.until_open(0)
            waiting = asyncio.create_task(channel.call(WATCH, REQUEST))
            await silent.until_open(1)
            waiting.cancel("enough")
            waiting.cancel("at once")
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await silent.until_open(0)
            await _no_other_tasks()


async def test_closing_the_channel_ends_such_a_call() -> None:
    silent = Silent()
    async with PlayedEtcd({WATCH: silent.play}) as server:
        channel = Channel(server.endpoint)
        call = asyncio.create_task(channel.call(WATCH, REQUEST))
        await silent.until_open(1)
        await channel.close()
        with pytest.raises(ClientClosedError):
            await call
        await silent.until_open(0)
        await _no_other_tasks()


async def test_cancelling_ends_a_call_whose_stream_is_not_open_yet(etcd_endpoint: str) -> None:
    # A channel cancels calls so when it is closed, and when it gives up a silent connection.
    async with FaultProxy(etcd_endpoint) as proxy:
        proxy.black_hole()
        async with grpc.aio.insecure_channel(proxy.endpoint) as channel:
            send = UnaryOverStream(channel.stream_stream(WATCH.path))
            call = send(WATCH.encode(REQUEST))
            waiting = asyncio.ensure_future(grpc_result(call))
            await proxy.until(lambda counters: counters.accepted > 0, timeout=HANG)
            assert call.cancel()
            await asyncio.wait([waiting], timeout=HANG)
            assert waiting.done()
            with pytest.raises(CallCancelled):
                await waiting


async def test_closing_the_channel_ends_such_a_call_at_any_moment() -> None:
    silent = Silent()
    async with PlayedEtcd({WATCH: silent.play}) as server:
        for turns in range(60):
            channel = Channel(server.endpoint)
            await channel.connect()
            call = asyncio.create_task(channel.call(WATCH, REQUEST))
            for _ in range(turns):
                await asyncio.sleep(0)
            await channel.close()
            await asyncio.wait([call], timeout=HANG)
            assert call.done()
            with pytest.raises(ClientClosedError):
                await call
        await silent.until_open(0)
