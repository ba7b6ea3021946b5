"""Scans return the whole range in order, at one revision."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from kv_support import PATIENT

from etcd_channel import Channel, RevisionCompactedError
from etcd_channel.errors import UnsupportedByServerError
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.rpcs import RANGE_STREAM
from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd


async def put_numbers(kv: KVClient, prefix: bytes, count: int) -> list[bytes]:
    keys = [prefix + b"%04d" % number for number in range(count)]
    txn = kv.transactions
    for begin in range(0, count, 100):
        await kv.transaction([], [txn.put(key, b"v") for key in keys[begin : begin + 100]])
    return keys


async def test_a_scan_returns_every_key_once_and_in_order(kv: KVClient, key_prefix: bytes) -> None:
    keys = await put_numbers(kv, key_prefix, 250)
    for page_size in (1, 7, 50, 249, 250, 251, 1000):
        scanned = [item.key async for item in kv.scan_prefix(key_prefix, page_size=page_size)]
        assert scanned == keys
    half = [item.key async for item in kv.scan_range(keys[10], keys[20], page_size=3)]
    assert half == keys[10:20]


async def test_writes_during_a_scan_do_not_change_its_result(
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


async def test_a_scan_can_read_an_older_revision_without_values(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = await put_numbers(kv, key_prefix, 20)
    newest = (await kv.put(keys[0], b"newer")).header.revision
    past = kv.scan_prefix(key_prefix, page_size=6, revision=newest - 1, keys_only=True)
    assert [(item.key, item.value, item.version) async for item in past] == [
        (key, b"", 1) for key in keys
    ]


async def test_a_scan_whose_revision_is_compacted_raises_the_compacted_revision() -> None:
    async with EtcdServer() as server, Channel(server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        await put_numbers(kv, b"k/", 20)
        scan = kv.scan_prefix(b"k/", page_size=5)
        await scan.__anext__()
        revision = (await kv.put(b"other", b"")).header.revision
        await kv.compact(revision)
        with pytest.raises(RevisionCompactedError) as caught:
            _ = [item async for item in scan]
        assert caught.value.compacted_revision == revision


async def test_an_invalid_page_size_is_refused(kv: KVClient, key_prefix: bytes) -> None:
    with pytest.raises(ValueError, match="page_size must be at least 1"):
        await kv.scan_prefix(key_prefix, page_size=0).__anext__()
    with pytest.raises(TypeError, match="key_prefix must be bytes"):
        await kv.scan_prefix("text").__anext__()  # type: ignore[arg-type]  # on purpose


async def test_a_streamed_range_from_an_old_server_names_the_needed_version(
    kv: KVClient, key_prefix: bytes
) -> None:
    with pytest.raises(UnsupportedByServerError, match=r"KV\.RangeStream needs etcd 3\.7"):
        await kv.stream_range(key_prefix, key_prefix + b"\xff").__anext__()


async def test_a_streamed_range_returns_the_parts_that_the_server_sends() -> None:
    """On a played server, because no released etcd has the RPC."""

    async def serve(
        request: pb.RangeRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> AsyncIterator[pb.RangeStreamResponse]:
        for number in range(3):
            piece = pb.RangeResponse(more=number < 2, count=3)
            piece.kvs.add(key=request.key + b"%d" % number)
            yield pb.RangeStreamResponse(range_response=piece)

    async with (
        PlayedEtcd({RANGE_STREAM: serve}) as server,
        Channel(server.endpoint, **PATIENT) as channel,
    ):
        pieces = [piece async for piece in KVClient(channel).stream_range(b"a", b"b")]
    assert [kv.key for piece in pieces for kv in piece] == [b"a0", b"a1", b"a2"]
    assert [piece.more for piece in pieces] == [True, True, False]


async def test_a_scan_with_invalid_arguments_is_refused_before_its_first_iteration(
    unreachable_kv: KVClient,
) -> None:
    with pytest.raises(ValueError, match="page_size must be at least 1, not 0"):
        unreachable_kv.scan_range(b"a", b"b", page_size=0)
    with pytest.raises(TypeError, match="key_prefix must be bytes"):
        unreachable_kv.scan_prefix("text")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="keys_only must be a bool"):
        unreachable_kv.scan_prefix(b"a", keys_only="no")  # type: ignore[arg-type]  # on purpose
