"""Scans on the one stream of a server that has RangeStream, here a played one.

No released etcd has the RPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from kv_support import PATIENT, with_enough_time

from etcd_channel import Channel, ChannelView, RevisionCompactedError
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.rpcs import RANGE, RANGE_STREAM
from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd

KEYS = [b"k/%04d" % number for number in range(2000)]
REVISION = 77
Context = grpc.aio.ServicerContext[Any, Any]


class Store:
    """Keys that a played server has, and what befalls its streams."""

    def __init__(self) -> None:
        self.ranges: list[pb.RangeRequest] = []
        self.streams: list[pb.RangeRequest] = []
        self.part = 100
        self.parts_sent = 0
        # The stream breaks with this code before each of these parts, counted from 0.
        self.breaks: dict[int, grpc.StatusCode] = {}
        self.hang_before: int | None = None
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    def server(self) -> PlayedEtcd:
        return PlayedEtcd({RANGE: self.range, RANGE_STREAM: self.stream})

    def found(self, request: pb.RangeRequest) -> list[bytes]:
        return [key for key in KEYS if request.key <= key < request.range_end]

    def response(self, keys: list[bytes], **fields: Any) -> pb.RangeResponse:
        response = pb.RangeResponse(**fields)
        for key in keys:
            response.kvs.add(key=key, value=b"v", mod_revision=7)
        return response

    async def range(self, request: pb.RangeRequest, context: Context) -> pb.RangeResponse:
        self.ranges.append(request)
        assert request.revision in (0, REVISION)
        keys = self.found(request)
        part = keys[: request.limit or None]
        response = self.response(part, more=len(part) < len(keys), count=len(keys))
        response.header.revision = REVISION
        return response

    async def stream(
        self, request: pb.RangeRequest, context: Context
    ) -> AsyncIterator[pb.RangeStreamResponse]:
        self.streams.append(request)
        assert request.revision == REVISION
        keys = self.found(request)[: request.limit or None]
        try:
            for begin in range(0, len(keys), self.part):
                if self.parts_sent in self.breaks:
                    await context.abort(self.breaks.pop(self.parts_sent), "broken on purpose")
                if self.parts_sent == self.hang_before:
                    await asyncio.Event().wait()
                self.parts_sent += 1
                part = self.response(keys[begin : begin + self.part])
                yield pb.RangeStreamResponse(range_response=part)
            yield pb.RangeStreamResponse(range_response=pb.RangeResponse(count=len(keys)))
            self.ended.put_nowait("complete")
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise


async def test_all_pages_but_the_first_come_on_one_stream() -> None:
    store = Store()
    async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
        scan = KVClient(channel).scan_prefix(b"k/")
        pages = [len(page) async for page in scan.pages()]
    assert pages == [100] * 20
    assert (len(store.ranges), len(store.streams)) == (1, 1)
    assert store.streams[0].key == KEYS[99] + b"\0"
    assert (scan.count, scan.done, scan.revision) == (2000, 2000, REVISION)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "CANCELLED"])
async def test_a_broken_stream_is_resumed_after_the_last_key_at_the_same_revision(
    code: str,
) -> None:
    store = Store()
    store.breaks = {3: grpc.StatusCode[code], 9: grpc.StatusCode[code]}
    async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
        scan = KVClient(channel).scan_prefix(b"k/", page_bytes=2000)
        assert [kv.key async for kv in scan] == KEYS
        assert scan.done == 2000
    assert len(store.streams) == 3
    assert len(store.ranges) == 3


async def test_a_stream_that_cannot_begin_is_not_tried_again_by_the_scan() -> None:
    store = Store()
    store.breaks = {0: grpc.StatusCode.INTERNAL}
    async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        assert [item.key async for item in kv.scan_prefix(b"k/", page_bytes=5000)] == KEYS
        assert (len(store.streams), len(store.ranges) > 2) == (1, True)
        assert [item.key async for item in kv.scan_prefix(b"k/")] == KEYS
        assert len(store.streams) == 2


async def test_a_server_without_streams_is_asked_once_for_each_channel() -> None:
    store = Store()
    store.breaks = {0: grpc.StatusCode.UNIMPLEMENTED}
    async with store.server() as server:
        async with Channel(server.endpoint, **PATIENT) as channel:
            for _ in range(3):
                scan = KVClient(channel).scan_prefix(b"k/", page_bytes=5000)
                assert [item.key async for item in scan] == KEYS
            assert len(store.streams) == 1
        async with Channel(server.endpoint, **PATIENT) as channel:
            assert [item.key async for item in KVClient(channel).scan_prefix(b"k/")] == KEYS
        assert len(store.streams) == 2


async def test_a_member_without_streams_may_answer_in_the_middle() -> None:
    """In a cluster that is being upgraded."""
    store = Store()
    store.breaks = {4: grpc.StatusCode.UNIMPLEMENTED}
    async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
        assert [item.key async for item in KVClient(channel).scan_prefix(b"k/")] == KEYS
    assert len(store.streams) == 1


async def test_a_stream_that_is_silent_for_the_timeout_is_given_up() -> None:
    async def scan_all(timeout: float) -> None:
        store = Store()
        store.hang_before = 5
        async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
            scan = KVClient(channel).scan_prefix(b"k/", timeout=timeout)
            seen = []
            async for item in scan:
                seen.append(item.key)
                store.hang_before = None if len(seen) > 700 else store.hang_before
            assert seen == KEYS
            assert await asyncio.wait_for(store.ended.get(), 60) == "cancelled"

    await with_enough_time(scan_all, 1, 15)


async def test_a_caller_may_take_longer_than_the_timeout_between_pages() -> None:
    async def scan_slowly(timeout: float) -> None:
        store = Store()
        async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
            scan = KVClient(channel).scan_prefix(b"k/", timeout=timeout)
            pages = 0
            async for _ in scan.pages():
                pages += 1
                if pages in (2, 4):
                    await asyncio.sleep(timeout + 0.2)  # longer than the timeout of a request
            assert scan.done == 2000
        assert (len(store.streams), len(store.ranges)) == (1, 1)

    await with_enough_time(scan_slowly, 0.5, 15)


async def test_a_scan_that_is_closed_ends_its_stream() -> None:
    store = Store()
    store.hang_before = 3
    async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
        async with KVClient(channel).scan_prefix(b"k/") as scan:
            async for _ in scan:
                if scan.done >= 300:
                    break
        assert await asyncio.wait_for(store.ended.get(), 60) == "cancelled"
        assert [item async for item in scan] == []


async def test_a_limit_and_a_number_of_keys_hold_on_a_server_with_streams() -> None:
    store = Store()
    async with store.server() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        assert [item.key async for item in kv.scan_prefix(b"k/", limit=777)] == KEYS[:777]
        assert store.streams[0].limit == 777 - 100
        pages = [len(page) async for page in kv.scan_prefix(b"k/", page_size=300).pages()]
        assert max(pages) <= 300
        assert len(store.streams) == 1
        backward = kv.scan_prefix(b"k/", reverse=True)
        assert [item.key async for item in backward] == KEYS[::-1]
        assert len(store.streams) == 1


async def test_a_compaction_in_the_middle_of_a_stream_says_where_to_resume() -> None:
    store = Store()

    async def compacted(request: pb.RangeRequest, context: Context) -> pb.RangeResponse:
        if request.revision and request.key > KEYS[0]:
            await context.abort(
                grpc.StatusCode.OUT_OF_RANGE,
                "etcdserver: mvcc: required revision has been compacted",
            )
        return await store.range(request, context)

    store.breaks = {2: grpc.StatusCode.OUT_OF_RANGE}
    server = PlayedEtcd({RANGE: compacted, RANGE_STREAM: store.stream})
    async with server, Channel(server.endpoint, **PATIENT) as channel:
        scan = KVClient(channel).scan_prefix(b"k/")
        with pytest.raises(RevisionCompactedError, match="start_after=b'k/0299'"):
            _ = [item async for item in scan]
        assert scan.last_key == KEYS[299]


async def test_a_released_etcd_is_asked_once_and_found_to_have_no_streams() -> None:
    streams: list[str] = []

    class Counting(ChannelView):
        def download(self, rpc: Any, request: Any, **options: Any) -> Any:
            streams.append(rpc.name)
            return super().download(rpc, request, **options)

    async with EtcdServer() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(Counting(channel))
        await kv.put_many((key, b"v") for key in KEYS)
        for _ in range(2):
            assert [item.key async for item in kv.scan_prefix(b"k/")] == KEYS
    assert streams == ["KV.RangeStream"]
