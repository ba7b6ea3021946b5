"""Downloads: complete, closed early, broken, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from channel_support import HANG, SNAPSHOT

from etcd_channel import (
    Channel,
    ClientClosedError,
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    InternalError,
    Rpc,
    errors,
)
from etcd_testing import FaultProxy
from etcd_testing.played import PlayedEtcd, messages

REQUEST = messages.SnapshotRequest()


def blob(content: bytes) -> Any:
    return messages.SnapshotResponse(blob=content)


class Source:
    """A server whose download goes as far as it is told, and says how it was ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.never = asyncio.Event()
        self.played = PlayedEtcd({SNAPSHOT: self._serve})

    async def _serve(self, request: Any, context: Any) -> AsyncIterator[Any]:
        context.add_done_callback(lambda _: self.ended.set())
        yield blob(b"1")
        yield blob(b"2")
        await self.never.wait()


async def drained(responses: AsyncIterator[Any]) -> tuple[list[bytes], ClientError | None]:
    """Return the responses of a download, and how it ended."""
    seen: list[bytes] = []

    async def drain() -> None:
        async for response in responses:
            seen.append(response.blob)  # noqa: PERF401  # kept if it breaks

    try:
        await asyncio.wait_for(drain(), HANG)
    except ClientError as error:
        return seen, error
    return seen, None


async def test_a_download_returns_all_responses_in_order(etcd_endpoint: str) -> None:
    async with Channel(etcd_endpoint) as channel:
        left, size = [], 0
        async for response in channel.download(SNAPSHOT, REQUEST):
            left.append(response.remaining_bytes)
            size += len(response.blob)
        assert size > 0
        assert left == sorted(left, reverse=True)
        assert left[-1] == 0


async def test_a_download_that_is_closed_early_ends_on_the_server() -> None:
    source = Source()
    async with source.played as server, Channel(server.endpoint) as channel:
        async with contextlib.aclosing(channel.download(SNAPSHOT, REQUEST)) as responses:
            async for response in responses:
                assert response.blob == b"1"
                break
        await asyncio.wait_for(source.ended.wait(), HANG)


async def test_a_download_whose_task_is_cancelled_ends_on_the_server() -> None:
    source = Source()
    begun = asyncio.Event()

    async def consume() -> None:
        async for _ in channel.download(SNAPSHOT, REQUEST):
            begun.set()

    async with source.played as server, Channel(server.endpoint) as channel:
        task = asyncio.create_task(consume())
        await asyncio.wait_for(begun.wait(), HANG)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.wait_for(source.ended.wait(), HANG)


async def test_a_channel_that_is_closed_ends_a_download_even_between_two_reads() -> None:
    source = Source()
    async with source.played as server:
        channel = Channel(server.endpoint)
        responses = channel.download(SNAPSHOT, REQUEST)
        await responses.__anext__()
        await channel.close()
        _, error = await drained(responses)
        assert isinstance(error, ClientClosedError)


async def test_the_timeout_holds_for_the_whole_of_a_download() -> None:
    source = Source()
    async with source.played as server, Channel(server.endpoint) as channel:
        seen: list[bytes] = []
        for timeout in (0.5, 2, 8):  # the longer ones for a busy machine
            seen, error = await drained(channel.download(SNAPSHOT, REQUEST, timeout=timeout))
            assert type(error) is ConnectionTimeoutError
            if seen == [b"1", b"2"]:
                return
        raise AssertionError(f"{seen} came within 8 s")


async def test_the_timeout_of_the_channel_does_not_apply_to_an_unbounded_download() -> None:
    async def slow(request: Any, context: Any) -> AsyncIterator[Any]:
        yield blob(b"1")
        await asyncio.sleep(0.6)
        yield blob(b"2")

    finite: Any = Rpc(SNAPSHOT.path, SNAPSHOT.request, SNAPSHOT.response)
    async with PlayedEtcd({SNAPSHOT: slow}) as server:
        # To enter it is a call that its timeout holds for.
        channel = Channel(server.endpoint, timeout=0.3)
        responses = [response async for response in channel.download(SNAPSHOT, REQUEST)]
        assert len(responses) == 2
        _, error = await drained(channel.download(finite, REQUEST))
        assert type(error) is ConnectionTimeoutError
        await channel.close()


async def test_a_download_that_breaks_before_its_first_response_is_retried() -> None:
    async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
        if server.calls[SNAPSHOT.name] < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: leader changed")
        yield blob(b"1")

    async with PlayedEtcd({SNAPSHOT: serve}) as server, Channel(server.endpoint) as channel:
        blobs = [response.blob async for response in channel.download(SNAPSHOT, REQUEST)]
        assert blobs == [b"1"]
        assert server.calls == {SNAPSHOT.name: 3}


async def test_a_download_that_breaks_after_its_first_response_is_not_retried() -> None:
    async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
        yield blob(b"1")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: server stopped")

    async with PlayedEtcd({SNAPSHOT: serve}) as server, Channel(server.endpoint) as channel:
        seen, error = await drained(channel.download(SNAPSHOT, REQUEST))
        assert seen == [b"1"]
        assert type(error) is errors.ServerStoppedError
        assert server.calls == {SNAPSHOT.name: 1}


async def test_a_connection_that_breaks_during_a_download_is_an_error() -> None:
    source = Source()
    async with source.played as server, FaultProxy(server.endpoint) as proxy:
        async with Channel(proxy.endpoint) as channel:
            responses = channel.download(SNAPSHOT, REQUEST)
            assert (await responses.__anext__()).blob == b"1"
            assert (await responses.__anext__()).blob == b"2"
            proxy.cut()
            with pytest.raises(ConnectionFailedError):
                await asyncio.wait_for(responses.__anext__(), HANG)


async def test_a_refused_download_raises_the_error_of_the_server() -> None:
    async def refuse(request: Any, context: Any) -> AsyncIterator[Any]:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
        yield

    async with PlayedEtcd({SNAPSHOT: refuse}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(errors.PermissionDeniedError) as caught:
            await channel.download(SNAPSHOT, REQUEST).__anext__()
        assert caught.value.method == "Maintenance.Snapshot"
        assert server.calls == {SNAPSHOT.name: 1}


async def test_an_empty_download_has_no_responses() -> None:
    async def nothing(request: Any, context: Any) -> AsyncIterator[Any]:
        return
        yield

    async with PlayedEtcd({SNAPSHOT: nothing}) as server:
        async with Channel(server.endpoint) as channel:
            assert [response async for response in channel.download(SNAPSHOT, REQUEST)] == []


async def test_a_response_that_cannot_be_read_is_an_error() -> None:
    garbled: Any = Rpc(SNAPSHOT.path, messages.SnapshotRequest, messages.KeyValue)

    async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
        yield messages.KeyValue(key=b"\xff")

    async with PlayedEtcd({garbled: serve}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(InternalError, match="the response cannot be read"):
            await channel.download(SNAPSHOT, REQUEST).__anext__()
