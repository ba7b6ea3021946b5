"""A stream is opened again after every break, until it is closed or refused."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import pytest
from channel_support import HANG, PUT, RANGE, WATCH

from etcd_channel import (
    Channel,
    ClientClosedError,
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    InternalError,
    Reconnect,
    Stream,
    errors,
)
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd, messages


class Watcher:
    """A handler that creates a watch at each opening, and records everything it is called with."""

    def __init__(self, key: bytes = b"k") -> None:
        self.key = key
        self.openings = 0
        self.responses: list[Any] = []
        self.breaks: list[ClientError] = []
        self.end: ClientError | None = None
        self._changed = asyncio.Event()

    def opened(self) -> Iterable[Any]:
        self.openings += 1
        self._changed.set()
        return [messages.WatchRequest(create_request={"key": self.key})]

    def received(self, response: Any) -> None:
        self.responses.append(response)
        self._changed.set()

    def broken(self, error: ClientError) -> None:
        self.breaks.append(error)
        self._changed.set()

    def ended(self, error: ClientError) -> None:
        assert self.end is None, "told twice"
        self.end = error
        self._changed.set()

    @property
    def created(self) -> int:
        return sum(response.created for response in self.responses)

    @property
    def events(self) -> list[bytes]:
        return [event.kv.value for response in self.responses for event in response.events]

    async def until(self, condition: Callable[[Watcher], object]) -> None:
        async def wait() -> None:
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), HANG)


async def _created(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """A server that answers every request, for as long as there are any."""
    async for _ in requests:
        yield messages.WatchResponse(created=True)


async def _closed(stream: Stream[Any, Any], handler: Watcher) -> None:
    await stream.close()
    assert stream.ended
    assert isinstance(handler.end, ClientClosedError)


# As long as all is well ------------------------------------------------------------------


async def test_a_stream_carries_requests_and_responses(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    handler, key = Watcher(key_prefix + b"a"), key_prefix + b"b"
    async with Channel(etcd_endpoint) as channel:
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created == 1)
        stream.send(messages.WatchRequest(create_request={"key": key}))
        await handler.until(lambda it: it.created == 2)
        await channel.call(PUT, messages.PutRequest(key=key, value=b"v"))
        await handler.until(lambda it: it.events == [b"v"])
        assert not stream.ended
        await _closed(stream, handler)
        assert (handler.openings, stream.reconnects, channel.reconnects) == (1, 0, 0)


async def test_closing_the_channel_ends_its_streams(etcd_endpoint: str) -> None:
    channel = Channel(etcd_endpoint)
    handlers = [Watcher() for _ in range(3)]
    streams = [channel.stream(WATCH, handler) for handler in handlers]
    await handlers[0].until(lambda it: it.created)
    await channel.close()
    for stream, handler in zip(streams, handlers, strict=True):
        assert stream.ended
        assert isinstance(handler.end, ClientClosedError)


async def test_the_handler_of_a_stream_that_is_closed_before_it_starts_gets_the_end(
    etcd_endpoint: str,
) -> None:
    async with Channel(etcd_endpoint) as channel:
        handler = Watcher()
        await _closed(channel.stream(WATCH, handler), handler)
        assert handler.openings == 0


async def test_a_stream_can_be_closed_at_any_moment(etcd_endpoint: str) -> None:
    for turns in range(50):
        channel = Channel(etcd_endpoint)
        handler = Watcher()
        stream = channel.stream(WATCH, handler)
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(stream.close(), HANG)
        assert isinstance(handler.end, ClientClosedError)
        await stream.close()
        await channel.close()


async def test_the_callback_of_the_end_gets_the_stream(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as channel:
        handler = Watcher()
        told: list[object] = []
        stream = channel.stream(WATCH, handler)
        stream.on_end(told.append)
        await stream.close()
        assert told == [stream]


async def test_a_request_is_dropped_if_the_stream_is_not_open() -> None:
    handler = Watcher()
    channel = Channel("127.0.0.1:1", connect_timeout=2)
    stream = channel.stream(WATCH, handler)
    stream.send(messages.WatchRequest(create_request={"key": b"lost"}))
    stream.reopen(InternalError("there is nothing to give up"))
    await handler.until(lambda it: len(it.breaks) >= 2)
    lost = (ConnectionFailedError, ConnectionTimeoutError)
    assert all(isinstance(error, lost) for error in handler.breaks)
    assert handler.openings == 0
    await channel.close()


# Breaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "reset", "half_close"])
async def test_a_stream_is_opened_again_after_a_break(
    fault: str, etcd_endpoint: str, key_prefix: bytes
) -> None:
    heard: list[Reconnect] = []
    handler, key = Watcher(key_prefix), key_prefix
    async with FaultProxy(etcd_endpoint) as proxy:
        async with Channel(proxy.endpoint, on_reconnect=heard.append) as channel:
            stream = channel.stream(WATCH, handler)
            for count in range(1, 4):
                await handler.until(lambda it: it.created == count)  # noqa: B023  # awaited here
                await channel.call(PUT, messages.PutRequest(key=key, value=b"%d" % count))
                await handler.until(lambda it: len(it.events) == count)  # noqa: B023
                getattr(proxy, fault)()
            await handler.until(lambda it: it.created == 4)
            assert handler.events == [b"1", b"2", b"3"]
            assert handler.openings == 4
            assert len(handler.breaks) == stream.reconnects == channel.reconnects == len(heard)
            assert [str(reconnect.error) for reconnect in heard] == [
                str(it) for it in handler.breaks
            ]
            assert {reconnect.rpc for reconnect in heard} == {"Watch.Watch"}
            assert all(isinstance(error, ConnectionFailedError) for error in handler.breaks)
            # Each time the stream had received something in between.
            assert [reconnect.attempt for reconnect in heard] == [1, 1, 1]
            await _closed(stream, handler)


async def test_a_stream_that_the_server_ends_with_ok_is_opened_again() -> None:
    async def once(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await requests.__anext__()
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({WATCH: once}) as server, Channel(server.endpoint) as channel:
        handler = Watcher()
        channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created == 3)
        assert {type(error) for error in handler.breaks} == {ConnectionFailedError}
        assert "the server ended the stream" in str(handler.breaks[0])
        assert f"Watch.Watch at {server.endpoint}" in str(handler.breaks[0])


async def test_a_stream_follows_the_members_of_a_cluster() -> None:
    async with EtcdCluster(3) as cluster, Channel(cluster.endpoints) as channel:
        handler = Watcher()
        channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created)
        for _ in range(2):
            # Never more than a minority of the members is down at the same time.
            ids = {}
            for member in cluster.members:
                async with Channel(member.endpoint) as direct:
                    response = await direct.call(RANGE, messages.RangeRequest(key=b"k"))
                    ids[response.header.member_id] = member
            # A slow member may have been left meanwhile.
            used, before = handler.responses[-1].header.member_id, handler.created
            await ids[used].kill()
            await handler.until(
                lambda it: (
                    it.created > before  # noqa: B023  # awaited here
                    and it.responses[-1].header.member_id != used  # noqa: B023
                )
            )
            await ids[used].start()


async def test_a_stream_waits_for_a_server_during_a_long_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="etcd_channel")
    async with EtcdServer() as server:
        async with Channel(server.endpoint) as channel:
            handler = Watcher()
            stream = channel.stream(WATCH, handler)
            await handler.until(lambda it: it.created)
            await server.kill()
            # The connection, and all attempts to make another within the connect timeout.
            await handler.until(lambda it: len(it.breaks) >= 2)
            assert not stream.ended
            created = handler.created
            await server.start()
            await handler.until(lambda it: it.created > created)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1, "one for an outage, not one for each attempt"
    assert f"{server.endpoint} is lost" in warnings[0].getMessage()


async def test_attempts_are_counted_until_something_is_received() -> None:
    heard: list[Reconnect] = []
    channel = Channel("127.0.0.1:1", connect_timeout=0.05, on_reconnect=heard.append)
    handler = Watcher()
    channel.stream(WATCH, handler)
    await handler.until(lambda it: len(it.breaks) == 3)
    await channel.close()
    assert [reconnect.attempt for reconnect in heard[:3]] == [1, 2, 3]


async def test_a_handler_can_reopen_its_stream(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as channel:
        handler = Watcher()
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created)
        # An error that would end the stream, did the server send it.
        reason = errors.PermissionDeniedError("the handler is not content")
        stream.reopen(reason)
        stream.reopen(errors.PermissionDeniedError("nor is it now"))
        await handler.until(lambda it: it.created == 2)
        assert handler.breaks == [reason]
        await _closed(stream, handler)


async def test_a_stream_that_is_reopened_and_closed_at_once_is_closed(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as channel:
        handler = Watcher()
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created)
        stream.reopen(InternalError("the handler is not content"))
        await asyncio.wait_for(_closed(stream, handler), HANG)


async def test_a_stream_that_breaks_and_is_closed_at_once_is_closed(etcd_endpoint: str) -> None:
    class Silent(Watcher):
        def opened(self) -> Iterable[Any]:
            super().opened()
            # The server says nothing either then, and gRPC waits for its first word.
            return []

    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as channel:
        await channel.connect()
        for turns in range(20):
            handler = Silent()
            stream = channel.stream(WATCH, handler)
            await handler.until(lambda it: it.openings)
            await asyncio.sleep(0.01)
            proxy.reset()
            for _ in range(turns):
                await asyncio.sleep(0)
            # gRPC learns of the break, and this loop only after it has closed the stream.
            time.sleep(0.01)  # noqa: ASYNC251  # the loop is to be blocked
            await asyncio.wait_for(_closed(stream, handler), HANG)


# Refusals --------------------------------------------------------------------------------


async def test_a_permanent_refusal_ends_a_stream() -> None:
    async def refuse(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        # Before it is read, gRPC may tell the writer's failure in place of the refusal.
        await requests.__anext__()
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
        yield

    async with PlayedEtcd({WATCH: refuse}) as server, Channel(server.endpoint) as channel:
        handler = Watcher()
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.end)
        assert isinstance(handler.end, errors.PermissionDeniedError)
        assert handler.end.endpoint == server.endpoint
        assert (handler.openings, handler.breaks) == (1, [])
        await stream.close()
        assert server.calls["Watch.Watch"] == 1


async def test_a_wrong_password_ends_a_stream() -> None:
    async def refuse(request: Any, context: Any) -> Any:
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
        )

    async with PlayedEtcd({AUTHENTICATE: refuse, WATCH: _created}) as server:
        channel = Channel(server.endpoint, username="root", password="wrong")
        handler = Watcher()
        channel.stream(WATCH, handler)
        await handler.until(lambda it: it.end)
        assert isinstance(handler.end, errors.AuthFailedError)
        assert server.calls == {"Auth.Authenticate": 1}
        await channel.close()


class Authority:
    """A server that issues tokens, and accepts each for one stream only."""

    def __init__(self) -> None:
        self.made = 0
        self.seen: list[str] = []
        self.refusing = False
        self.played = PlayedEtcd({AUTHENTICATE: self._make, WATCH: self._serve})

    async def _make(self, request: Any, context: Any) -> Any:
        self.made += 1
        return pb.AuthenticateResponse(token=f"token-{self.made}")

    async def _serve(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await requests.__anext__()
        token = str(dict(context.invocation_metadata()).get("token"))
        if self.refusing or token in self.seen:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
        self.seen.append(token)
        yield messages.WatchResponse(created=True)


async def test_each_opening_sends_a_new_token() -> None:
    authority = Authority()
    async with authority.played as server:
        channel = Channel(server.endpoint, username="root", password="secret")
        handler = Watcher()
        channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created == 3)
        assert authority.seen[:3] == ["token-1", "token-2", "token-3"]
        await channel.close()


async def test_a_server_that_refuses_every_new_token_ends_a_stream() -> None:
    authority = Authority()
    authority.refusing = True
    async with authority.played as server:
        channel = Channel(server.endpoint, username="root", password="secret")
        handler = Watcher()
        channel.stream(WATCH, handler)
        await handler.until(lambda it: it.end)
        assert isinstance(handler.end, errors.InvalidAuthTokenError)
        assert authority.made == server.calls["Watch.Watch"] == 4
        await channel.close()


async def test_a_stream_requires_a_leader_and_sends_its_metadata() -> None:
    seen: list[dict[str, Any]] = []

    async def serve(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        seen.append(dict(context.invocation_metadata()))
        await requests.__anext__()
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({WATCH: serve}) as server, Channel(server.endpoint) as channel:
        handler = Watcher()
        channel.stream(WATCH, handler, metadata=[("colour", "red")])
        await handler.until(lambda it: it.created == 2)
    for metadata in seen:
        assert (metadata["hasleader"], metadata["colour"]) == ("true", "red")


# Handlers and hooks that fail -------------------------------------------------------------


@pytest.mark.parametrize("method", ["opened", "received", "broken"])
async def test_a_handler_that_fails_ends_its_stream_and_is_logged(
    method: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> Iterable[Any]:
        raise RuntimeError("the handler is ill")

    async def once(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await requests.__anext__()
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({WATCH: once}) as server, Channel(server.endpoint) as channel:
        handler = Watcher()
        monkeypatch.setattr(handler, method, fail)
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.end)
        assert isinstance(handler.end, InternalError)
        assert "the handler is ill" in str(handler.end)
        assert isinstance(handler.end.__cause__, RuntimeError)
        await stream.close()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None


async def test_a_handler_that_fails_at_the_end_is_logged(
    etcd_endpoint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: ClientError) -> None:
        raise RuntimeError("the handler is ill")

    async with Channel(etcd_endpoint) as channel:
        handler = Watcher()
        monkeypatch.setattr(handler, "ended", fail)
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created)
        await stream.close()
        assert stream.ended
    assert "the handler is ill" in caplog.text


async def test_a_request_that_cannot_be_sent_ends_a_stream(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as channel:
        handler = Watcher()
        stream = channel.stream(WATCH, handler)
        await handler.until(lambda it: it.created)
        stream.send("no message")
        await handler.until(lambda it: it.end)
        assert isinstance(handler.end, InternalError)
        assert "request must be WatchRequest for Watch.Watch, not str" in str(handler.end)
        await stream.close()


async def test_an_exception_of_on_reconnect_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(reconnect: Reconnect) -> None:
        raise RuntimeError("the hook is ill")

    async def once(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await requests.__anext__()
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({WATCH: once}) as server:
        async with Channel(server.endpoint, on_reconnect=fail) as channel:
            handler = Watcher()
            channel.stream(WATCH, handler)
            await handler.until(lambda it: it.created == 3)
    assert "the hook is ill" in caplog.text
