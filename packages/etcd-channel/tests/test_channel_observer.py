"""The reports of failed attempts of calls, downloads and streams."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, WATCH

from etcd_channel import Channel, FailedAttempt, Reconnect, errors
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing.played import PlayedEtcd, messages

PASSWORD = "correct-horse-battery"
TOKEN = "the-token-of-joe"
GET = messages.RangeRequest(key=b"k")


def refusing(times: int, code: grpc.StatusCode, words: str, answer: Any) -> Callable[..., Any]:
    """A server that refuses a number of calls, and answers the others."""
    calls = 0

    async def play(request: Any, context: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= times:
            await context.abort(code, words)
        return answer

    return play


def told(heard: list[FailedAttempt]) -> list[tuple[str, str, int, bool]]:
    return [(it.rpc, type(it.error).__name__, it.attempt, it.repeated) for it in heard]


async def test_nothing_is_reported_if_nothing_fails(etcd_endpoint: str) -> None:
    heard: list[FailedAttempt] = []
    async with Channel(etcd_endpoint, on_failed_attempt=heard.append) as channel:
        await channel.call(RANGE, GET)
        async for _ in channel.download(SNAPSHOT, messages.SnapshotRequest()):
            pass
    assert heard == []


async def test_failed_attempts_of_a_call_are_reported_until_one_succeeds() -> None:
    heard: list[FailedAttempt] = []
    play = refusing(2, grpc.StatusCode.UNAVAILABLE, "not now", messages.RangeResponse())
    async with PlayedEtcd({RANGE: play}) as server:
        async with Channel(server.endpoint, on_failed_attempt=heard.append) as channel:
            await channel.call(RANGE, GET)
        failed = "ConnectionFailedError"
        assert told(heard) == [("KV.Range", failed, 1, True), ("KV.Range", failed, 2, True)]
        assert {it.error.endpoint for it in heard} == {server.endpoint}
        assert {it.error.code for it in heard} == {grpc.StatusCode.UNAVAILABLE}


async def test_a_failed_attempt_that_is_not_repeated_is_reported() -> None:
    heard: list[FailedAttempt] = []
    play = refusing(9, grpc.StatusCode.UNAVAILABLE, "not now", messages.PutResponse())
    async with PlayedEtcd({PUT: play}) as server:
        async with Channel(server.endpoint, on_failed_attempt=heard.append) as channel:
            with pytest.raises(errors.ConnectionFailedError) as caught:
                await channel.call(PUT, messages.PutRequest(key=b"k"))
    assert told(heard) == [("KV.Put", "ConnectionFailedError", 1, False)]
    assert str(heard[0].error) == str(caught.value)
    assert heard[0].error is not caught.value


async def test_failed_attempts_of_a_download_are_reported() -> None:
    heard: list[FailedAttempt] = []
    begun = 0

    async def play(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal begun
        begun += 1
        if begun == 2:
            yield messages.SnapshotResponse(blob=b"part")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    async with PlayedEtcd({SNAPSHOT: play}) as server:
        async with Channel(server.endpoint, on_failed_attempt=heard.append) as channel:
            with pytest.raises(errors.ConnectionFailedError):
                async for _ in channel.download(SNAPSHOT, messages.SnapshotRequest()):
                    pass
    name, failed = "Maintenance.Snapshot", "ConnectionFailedError"
    assert told(heard) == [(name, failed, 1, True), (name, failed, 2, False)]


class Handler:
    """The handler of a stream that creates one watch."""

    def __init__(self) -> None:
        self.end: asyncio.Future[errors.ClientError] = asyncio.get_running_loop().create_future()

    def opened(self) -> list[Any]:
        return [messages.WatchRequest(create_request={"key": b"k"})]

    def received(self, response: Any) -> None:
        """It says nothing of interest."""

    def broken(self, error: errors.ClientError) -> None:
        """It is opened again."""

    def ended(self, error: errors.ClientError) -> None:
        self.end.set_result(error)


async def test_breaks_of_a_stream_are_reported_to_both_callbacks() -> None:
    heard: list[FailedAttempt] = []
    reconnects: list[Reconnect] = []
    opened = 0

    async def play(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        nonlocal opened
        opened += 1
        turn = opened
        await requests.__anext__()
        if turn == 3:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({WATCH: play}) as server:
        async with Channel(
            server.endpoint, on_failed_attempt=heard.append, on_reconnect=reconnects.append
        ) as channel:
            handler = Handler()
            channel.stream(WATCH, handler)
            await asyncio.wait_for(handler.end, HANG)
            assert channel.reconnects == 2
    name, failed = "Watch.Watch", "ConnectionFailedError"
    assert told(heard) == [
        (name, failed, 1, True),
        (name, failed, 1, True),
        (name, "PermissionDeniedError", 2, False),
    ]
    assert [(it.rpc, it.attempt) for it in reconnects] == [(name, 1), (name, 1)]


async def test_a_failed_attempt_is_reported_in_the_context_of_its_call() -> None:
    span: contextvars.ContextVar[str] = contextvars.ContextVar("span")
    heard: list[str] = []
    play = refusing(4, grpc.StatusCode.UNAVAILABLE, "not now", messages.RangeResponse())

    async def call(channel: Channel, name: str) -> None:
        span.set(name)
        await channel.call(RANGE, GET)

    def note(attempt: FailedAttempt) -> None:
        heard.append(span.get())

    async with PlayedEtcd({RANGE: play}) as server:
        async with Channel(server.endpoint, on_failed_attempt=note) as channel:
            await asyncio.gather(call(channel, "one"), call(channel, "two"))
    assert set(heard) == {"one", "two"}


async def test_an_exception_of_a_callback_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(attempt: FailedAttempt) -> None:
        raise RuntimeError("the observer is ill")

    play = refusing(2, grpc.StatusCode.UNAVAILABLE, "not now", messages.RangeResponse(count=1))
    async with PlayedEtcd({RANGE: play}) as server:
        async with Channel(server.endpoint, on_failed_attempt=fail) as channel:
            assert (await channel.call(RANGE, GET)).count == 1
    assert caplog.text.count("on_failed_attempt failed") == 2
    assert "the observer is ill" in caplog.text


async def test_a_callback_cannot_reach_the_password_or_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts: list[FailedAttempt] = []
    reconnects: list[Reconnect] = []
    seen = asyncio.Event()

    def note(attempt: FailedAttempt) -> None:
        attempts.append(attempt)
        if len({it.rpc for it in attempts}) == 3:
            seen.set()

    answer = pb.AuthenticateResponse(token=TOKEN)
    authenticate = refusing(3, grpc.StatusCode.UNAVAILABLE, "not now", answer)
    read = refusing(
        *(1, grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token"),
        messages.RangeResponse(),
    )

    async def watch(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await requests.__anext__()
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({AUTHENTICATE: authenticate, RANGE: read, WATCH: watch}) as server:
        async with Channel(
            server.endpoint,
            username="joe",
            password=PASSWORD,
            on_failed_attempt=note,
            on_reconnect=reconnects.append,
        ) as channel:
            await channel.call(RANGE, messages.RangeRequest(key=b"k"))
            channel.stream(WATCH, Handler())
            await asyncio.wait_for(seen.wait(), HANG)
    assert {it.rpc for it in attempts} == {"Auth.Authenticate", "KV.Range", "Watch.Watch"}
    heard: list[FailedAttempt | Reconnect] = [*attempts, *reconnects]
    for it in heard:
        assert it.error.__traceback__ is None
        assert it.error.__context__ is None
        for secret in (PASSWORD, TOKEN):
            assert secret not in repr(it)
            assert secret not in "".join(traceback.format_exception(it.error))
            assert not reaches(it, secret)


def reaches(root: object, secret: str) -> bool:
    """Whether the secret can be reached from an object, including the locals of frames."""
    todo, known = [root], set()
    while todo:
        each = todo.pop()
        if id(each) in known or isinstance(each, type) or callable(each):
            continue
        known.add(id(each))
        if isinstance(each, (str, bytes)) or hasattr(each, "DESCRIPTOR"):
            if secret in str(each):
                return True
        elif type(each).__module__ in ("builtins", "etcd_channel.observer") or isinstance(
            each, BaseException
        ):
            todo += gc.get_referents(each)
    return False


def test_an_observer_must_be_callable() -> None:
    observer: Any = "log"
    with pytest.raises(TypeError, match="on_failed_attempt must be callable, not str"):
        Channel(on_failed_attempt=observer)
