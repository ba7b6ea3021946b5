"""A stream that the server ends behind unread responses ends in gRPC too.

gRPC takes a call for ended when a write fails, and does not cancel it then. Its status comes behind
the responses that were not read: https://github.com/grpc/grpc/issues/36066.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from channel_support import HANG, WATCH

from etcd_channel import Channel, ClientError, Stream
from etcd_channel import stream as stream_module
from etcd_testing.played import messages

RESPONSES = 50


class Server:
    """A server, in threads of its own, that sends responses and ends the stream at once."""

    def __init__(self, streams: int) -> None:
        self.ended = threading.Event()
        self._left = streams
        self._server = grpc.server(ThreadPoolExecutor(8))
        watch = grpc.stream_stream_rpc_method_handler(
            self._watch, messages.WatchRequest.FromString, messages.WatchResponse.SerializeToString
        )
        status = grpc.unary_unary_rpc_method_handler(
            lambda request, context: messages.StatusResponse(version="3.5.30"),
            messages.StatusRequest.FromString,
            messages.StatusResponse.SerializeToString,
        )
        for service, method, handler in (
            ("etcdserverpb.Watch", "Watch", watch),
            ("etcdserverpb.Maintenance", "Status", status),
        ):
            generic = grpc.method_handlers_generic_handler(service, {method: handler})
            self._server.add_generic_rpc_handlers((generic,))
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _watch(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        next(requests)
        self._left -= 1
        if self._left < 0:
            yield messages.WatchResponse(watch_id=1)
            for _ in requests:
                pass
            return
        context.add_callback(self.ended.set)
        for _ in range(RESPONSES):
            yield messages.WatchResponse(watch_id=0)

    def stop(self) -> None:
        self._server.stop(None).wait()


class Watcher:
    """A handler that blocks the event loop until the server has ended the stream, then writes."""

    def __init__(self, server: Server) -> None:
        self.stream: Stream[Any, Any] | None = None
        self.ids: list[int] = []
        self.lasting = asyncio.Event()
        self.errors: list[ClientError] = []
        self._server = server

    def opened(self) -> Iterable[Any]:
        self._server.ended.clear()
        return [messages.WatchRequest(create_request={"key": b"k"})]

    def received(self, response: Any) -> None:
        self.ids.append(response.watch_id)
        if response.watch_id == 1:
            self.lasting.set()
        elif len(self.ids) % RESPONSES == 1:
            assert self._server.ended.wait(HANG)
            assert self.stream is not None
            self.stream.send(messages.WatchRequest(progress_request={}))

    def broken(self, error: ClientError) -> None:
        self.errors.append(error)

    def ended(self, error: ClientError) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(streams=3)
    yield server
    server.stop()


async def test_a_stream_whose_write_failed_leaves_no_call_behind(server: Server) -> None:
    channel = Channel(server.endpoint)
    watcher = Watcher(server)
    watcher.stream = channel.stream(WATCH, watcher)
    await asyncio.wait_for(watcher.lasting.wait(), HANG)
    await channel.close()
    assert len(watcher.errors) == 3
    assert watcher.ids == [0] * 3 * RESPONSES + [1], "what the server sent before the end is read"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_that_is_cancelled_again_while_it_ends_leaves_no_task(
    server: Server,
) -> None:
    class Stopping(Watcher):
        def received(self, response: Any) -> None:
            super().received(response)
            if len(self.ids) == RESPONSES // 2:  # the write has failed, half is unread
                assert self.stream is not None
                self.stream.stop()

    channel = Channel(server.endpoint)
    watcher = Stopping(server)
    stream = watcher.stream = channel.stream(WATCH, watcher)
    while len(watcher.ids) < RESPONSES // 2:  # noqa: ASYNC110  # to cancel in each iteration
        await asyncio.sleep(0)
    while not stream.ended:
        stream.stop()
        await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if _is_of_streams(task)] == []
    assert len(watcher.ids) == RESPONSES // 2, "a stream that is stopped passes nothing on"
    await channel.close()


def _is_of_streams(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename == stream_module.__file__
