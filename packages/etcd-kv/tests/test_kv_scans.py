"""Scans: whole, in order, at one revision, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from etcd_channel import Channel, RevisionCompactedError
from etcd_channel.errors import UnsupportedByServerError
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2 as pb
from etcd_testing import EtcdServer


async def put_numbers(kv: KVClient, prefix: bytes, count: int) -> list[bytes]:
    keys = [prefix + b"%04d" % number for number in range(count)]
    words = kv.transactions
    for begin in range(0, count, 100):
        await kv.transaction([], [words.put(key, b"v") for key in keys[begin : begin + 100]])
    return keys


async def test_a_scan_yields_every_key_once_in_order(kv: KVClient, key_prefix: bytes) -> None:
    keys = await put_numbers(kv, key_prefix, 250)
    for page_size in (1, 7, 50, 249, 250, 251, 1000):
        scanned = [item.key async for item in kv.scan_prefix(key_prefix, page_size=page_size)]
        assert scanned == keys
    half = [item.key async for item in kv.scan_range(keys[10], keys[20], page_size=3)]
    assert half == keys[10:20]


async def test_a_scan_shows_one_moment_whatever_is_written_meanwhile(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = await put_numbers(kv, key_prefix, 50)
    scanned = []
    async for item in kv.scan_prefix(key_prefix, page_size=10):
        scanned.append((item.key, item.value))
        await kv.put(key_prefix + b"0000-new", b"too late")
        await kv.put(keys[-1], b"too late")
        await kv.delete(keys[-2])
    assert scanned == [(key, b"v") for key in keys]


async def test_a_scan_reads_the_past_and_leaves_values_out_if_it_is_asked_to(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = await put_numbers(kv, key_prefix, 20)
    newest = (await kv.put(keys[0], b"newer")).header.revision
    past = kv.scan_prefix(key_prefix, page_size=6, revision=newest - 1, keys_only=True)
    assert [(item.key, item.value, item.version) async for item in past] == [
        (key, b"", 1) for key in keys
    ]


async def test_a_scan_that_is_overtaken_by_compaction_says_so() -> None:
    async with EtcdServer() as server, Channel(server.endpoint) as channel:
        kv = KVClient(channel)
        await put_numbers(kv, b"k/", 20)
        scan = kv.scan_prefix(b"k/", page_size=5)
        await scan.__anext__()
        revision = (await kv.put(b"other", b"")).header.revision
        await kv.compact(revision)
        with pytest.raises(RevisionCompactedError) as caught:
            _ = [item async for item in scan]
        assert caught.value.compacted_revision == revision


async def test_a_page_without_size_is_refused(kv: KVClient, key_prefix: bytes) -> None:
    with pytest.raises(ValueError, match="page_size must be at least 1"):
        await kv.scan_prefix(key_prefix, page_size=0).__anext__()
    with pytest.raises(TypeError, match="key_prefix must be bytes"):
        await kv.scan_prefix("text").__anext__()  # type: ignore[arg-type]  # on purpose


async def test_a_server_that_is_too_old_for_a_streamed_range_is_named(
    kv: KVClient, key_prefix: bytes
) -> None:
    with pytest.raises(UnsupportedByServerError, match=r"KV\.RangeStream needs etcd 3\.7"):
        await kv.stream_range(key_prefix, key_prefix + b"\xff").__anext__()


async def test_a_streamed_range_yields_the_pieces_that_the_server_sends() -> None:
    """Played: no released etcd has the RPC."""

    async def serve(
        request: pb.RangeRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> AsyncIterator[pb.RangeStreamResponse]:
        for number in range(3):
            piece = pb.RangeResponse(more=number < 2, count=3)
            piece.kvs.add(key=request.key + b"%d" % number)
            yield pb.RangeStreamResponse(range_response=piece)

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        serve,
        request_deserializer=pb.RangeRequest.FromString,
        response_serializer=pb.RangeStreamResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("etcdserverpb.KV", {"RangeStream": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Channel(f"127.0.0.1:{port}") as channel:
            pieces = [piece async for piece in KVClient(channel).stream_range(b"a", b"b")]
    finally:
        await server.stop(None)
    assert [kv.key for piece in pieces for kv in piece] == [b"a0", b"a1", b"a2"]
    assert [piece.more for piece in pieces] == [True, True, False]
