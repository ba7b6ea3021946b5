"""What views receive besides calls: reports, operations, and the metadata that they add."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, WATCH

from etcd_channel import (
    Channel,
    ChannelLike,
    ChannelView,
    FailedAttempt,
    Measurement,
    Metric,
    Middleware,
    Reconnect,
    Report,
    errors,
    with_middleware,
)
from etcd_channel.metadata import call_metadata
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing.played import PlayedEtcd, messages

GET = messages.RangeRequest(key=b"k")
WEIGHT = Metric("weight", "kg", "How heavy it is.")


class Hearing(ChannelView):
    """Keeps the reports and the names of the operations."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.reports: list[Report] = []
        self.operations: list[str] = []

    def observe(self, report: Report) -> None:
        self.reports.append(report)

    @contextmanager
    def around(self, operation: str) -> Iterator[None]:
        self.operations.append(f"begin {operation}")
        yield
        self.operations.append(f"end {operation}")


async def refuse_once(code: grpc.StatusCode, words: str, answer: Any) -> Any:
    """A function that refuses one call, and answers the others."""
    refused = False

    async def play(request: Any, context: Any) -> Any:
        nonlocal refused
        if not refused:
            refused = True
            await context.abort(code, words)
        return answer

    return play


# Reports ---------------------------------------------------------------------------------


async def test_every_view_of_a_channel_that_observes_hears_of_a_failed_attempt() -> None:
    play = await refuse_once(grpc.StatusCode.UNAVAILABLE, "not now", messages.RangeResponse())
    async with PlayedEtcd({RANGE: play}) as server, Channel(server.endpoint) as channel:
        one, other = Hearing(channel), Hearing(ChannelView(channel))
        await channel.call(RANGE, GET)
    assert one.reports == other.reports
    (attempt,) = one.reports
    assert isinstance(attempt, FailedAttempt)
    assert (attempt.rpc, attempt.method) == ("KV.Range", "etcdserverpb.KV/Range")
    assert (attempt.attempt, attempt.repeated) == (1, True)


async def test_a_stream_that_is_opened_again_is_one_report_and_its_end_another() -> None:
    opened = 0
    end = asyncio.get_running_loop().create_future()

    async def play(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        nonlocal opened
        opened += 1
        if opened == 2:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
        yield messages.WatchResponse(created=True)

    class Handler:
        def opened(self) -> list[Any]:
            return []

        def received(self, response: Any) -> None: ...
        def broken(self, error: errors.ClientError) -> None: ...
        def ended(self, error: errors.ClientError) -> None:
            end.set_result(error)

    async with PlayedEtcd({WATCH: play}) as server, Channel(server.endpoint) as channel:
        view = Hearing(channel)
        channel.stream(WATCH, Handler())
        await asyncio.wait_for(end, HANG)
    broke, ended = view.reports
    assert isinstance(broke, Reconnect)
    assert broke.method == "etcdserverpb.Watch/Watch"
    assert isinstance(ended, FailedAttempt)
    assert not ended.repeated


async def test_a_renewed_token_is_measured_and_the_first_one_is_not() -> None:
    async def authenticate(request: Any, context: Any) -> Any:
        return pb.AuthenticateResponse(token="t")

    words = "etcdserver: invalid auth token"
    play = await refuse_once(grpc.StatusCode.UNAUTHENTICATED, words, messages.RangeResponse())
    async with PlayedEtcd({AUTHENTICATE: authenticate, RANGE: play}) as server:
        channel = Channel(server.endpoint, username="joe", password="p")
        async with Hearing(channel) as view:
            assert view.reports == []
            await view.call(RANGE, GET)
    measured = [report for report in view.reports if isinstance(report, Measurement)]
    assert [(each.metric.name, each.value) for each in measured] == [
        ("etcd.client.token.renewals", 1)
    ]


def test_a_service_measures_only_while_a_view_observes() -> None:
    channel = Channel()
    ChannelView(channel)
    assert not channel.observer.listening
    channel.observer.measure(WEIGHT, 1)
    view = Hearing(channel)
    assert view.observer is channel.observer
    assert channel.observer.listening
    channel.observer.measure(WEIGHT, 2, {"of": "a stone"})
    assert view.reports == [Measurement(WEIGHT, 2, {"of": "a stone"})]


def test_operations_are_within_the_context_managers_of_all_views() -> None:
    channel = Channel()
    with channel.observer.operation("nothing"):
        pass
    one, other = Hearing(channel), Hearing(channel)
    with channel.observer.operation("Lock.acquire"):
        assert one.operations == other.operations == ["begin Lock.acquire"]
    assert one.operations == other.operations == ["begin Lock.acquire", "end Lock.acquire"]


def test_an_error_of_a_view_that_observes_is_logged_and_has_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Ill(ChannelView):
        def observe(self, report: Report) -> None:
            raise RuntimeError("observe is ill")

        def around(self, operation: str) -> None:
            raise RuntimeError("around is ill")

    channel = Channel()
    Ill(channel)
    view = Hearing(channel)
    with channel.observer.operation("Lock.acquire"):
        channel.observer.measure(WEIGHT, 1)
    assert len(view.reports) == 1
    assert len(view.operations) == 2
    assert "observe is ill" in caplog.text
    assert "around is ill" in caplog.text


def test_an_error_at_the_end_of_a_context_manager_is_logged_and_has_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Ill(ChannelView):
        @contextmanager
        def around(self, operation: str) -> Iterator[None]:
            yield
            raise RuntimeError("the end is ill")

    channel = Channel()
    Ill(channel)
    view = Hearing(channel)
    Ill(channel)
    with channel.observer.operation("Lock.acquire"):
        pass
    assert view.operations == ["begin Lock.acquire", "end Lock.acquire"]
    assert len(caplog.records) == 2
    assert "the end is ill" in caplog.text


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
def test_a_context_manager_does_not_suppress_the_end_of_an_operation(
    kind: type[BaseException],
) -> None:
    class Suppressing(ChannelView):
        def around(self, operation: str) -> suppress:
            return suppress(BaseException)

    channel = Channel()
    Suppressing(channel)
    with pytest.raises(kind), channel.observer.operation("Lock.acquire"):
        raise kind


# Middleware ------------------------------------------------------------------------------


def test_a_call_passes_the_first_view_of_the_middleware_first() -> None:
    class Other(ChannelView):
        pass

    channel = Channel()
    view = with_middleware(channel, [Hearing, Other])
    assert isinstance(view, Hearing)
    assert isinstance(view.inner, Other)
    assert view.inner.inner is channel
    assert with_middleware(channel, []) is channel


@pytest.mark.parametrize(
    ("middleware", "words"),
    [
        (Hearing, "must be a sequence of classes of views, .*, not Hearing"),
        ([Hearing, 1], "must consist of classes of views, .*, not of a int"),
        ([lambda channel: channel], "a view of it, but .* returned Channel"),
        ([lambda _: ChannelView(Channel())], "a view of it, but .* returned ChannelView"),
    ],
)
def test_middleware_that_makes_no_view_of_the_channel_is_refused(
    middleware: Any, words: str
) -> None:
    with pytest.raises(TypeError, match=f"^middleware .*{words}"):
        with_middleware(Channel(), middleware)


# Metadata --------------------------------------------------------------------------------


class Adding(ChannelView):
    """Adds metadata to calls and downloads."""

    def call(self, rpc: Any, request: Any, **options: Any) -> Any:
        return self._call(rpc, request, **options)

    async def _call(self, rpc: Any, request: Any, **options: Any) -> Any:
        added = call_metadata.set((("x-program", "billing"),))
        try:
            return await super().call(rpc, request, **options)
        finally:
            call_metadata.reset(added)


async def test_metadata_that_a_view_adds_is_sent_with_each_attempt_and_with_the_token() -> None:
    sent: list[dict[str, Any]] = []

    async def authenticate(request: Any, context: Any) -> Any:
        return pb.AuthenticateResponse(token="t")

    async def play(request: Any, context: Any) -> Any:
        sent.append(dict(context.invocation_metadata()))
        if len(sent) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return messages.RangeResponse()

    async with PlayedEtcd({AUTHENTICATE: authenticate, RANGE: play}) as server:
        channel = Channel(server.endpoint, username="joe", password="p")
        middleware: list[Middleware] = [Adding, Hearing]
        async with channel:
            await with_middleware(channel, middleware).call(RANGE, GET)
            await channel.call(RANGE, GET)
    told = [(each.get("x-program"), each.get("token")) for each in sent]
    assert told == [("billing", "t"), ("billing", "t"), (None, "t")]


async def test_metadata_is_sent_without_a_user_and_with_downloads() -> None:
    sent: list[str] = []

    async def put(request: Any, context: Any) -> Any:
        sent.append(dict(context.invocation_metadata())["x-program"])
        return messages.PutResponse()

    async def snapshot(request: Any, context: Any) -> AsyncIterator[Any]:
        sent.append(dict(context.invocation_metadata())["x-program"])
        yield messages.SnapshotResponse()

    async with PlayedEtcd({PUT: put, SNAPSHOT: snapshot}) as server:
        async with Channel(server.endpoint) as channel:
            await Adding(channel).call(PUT, messages.PutRequest(key=b"k"))
            added = call_metadata.set((("x-program", "of the test"),))
            async for _ in channel.download(SNAPSHOT, messages.SnapshotRequest()):
                pass
            call_metadata.reset(added)
    assert sent == ["billing", "of the test"]
