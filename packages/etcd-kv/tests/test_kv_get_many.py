"""Bulk reads on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from kv_support import PATIENT

from etcd_channel import Channel, ChannelView
from etcd_channel.errors import FutureRevisionError, RevisionCompactedError
from etcd_kv import Get, KVClient
from etcd_testing import EtcdServer


async def filled(kv: KVClient, key_prefix: bytes, count: int) -> list[bytes]:
    keys = [key_prefix + b"%06d" % number for number in range(count)]
    await kv.put_many((key, key[::-1]) for key in keys)
    return keys


async def test_many_keys_are_read_in_their_order(kv: KVClient, key_prefix: bytes) -> None:
    keys = await filled(kv, key_prefix, 500)
    order = [*keys[::-1], key_prefix + b"none", keys[3], keys[3]]
    found = await kv.get_many(order)
    assert len(found) == len(order)
    assert found[500] is None
    for key, got in zip(order[:500], found, strict=False):
        assert isinstance(got, Get)
        assert (got.key, got.value) == (key, key[::-1])
    assert found[3 - 5] == found[-1] == await kv.get(keys[3])
    assert await kv.get_many([]) == []


async def test_all_are_read_at_one_revision(kv: KVClient, key_prefix: bytes) -> None:
    keys = await filled(kv, key_prefix, 200)

    async def source() -> AsyncIterator[bytes]:
        for number, key in enumerate(keys):
            await kv.put(keys[-1], b"%d" % number)
            yield key

    found = await kv.get_many(source(), max_txn_ops=10)
    revisions = {got.header.revision for got in found if got is not None}
    assert found[-1] is not None
    assert found[-1].value == b"9"  # as it was when the first ten were read
    assert found[-1].mod_revision <= min(revisions)


async def test_a_revision_can_be_given(kv: KVClient, key_prefix: bytes) -> None:
    keys = await filled(kv, key_prefix, 30)
    revision = (await kv.put(keys[-1], b"old")).header.revision
    await kv.put(keys[-1], b"new")
    found = await kv.get_many(keys, revision=revision, max_txn_ops=10)
    assert [got and got.value for got in found[-2:]] == [keys[-2][::-1], b"old"]
    with pytest.raises(FutureRevisionError, match=r"in the read of keys\[0:10\] \(the keys "):
        await kv.get_many(keys, revision=1 << 60, max_txn_ops=10)


async def test_a_compacted_revision_is_told(private_server: EtcdServer, key_prefix: bytes) -> None:
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        keys = await filled(kv, key_prefix, 30)
        revision = (await kv.put(key_prefix, b"")).header.revision
        await kv.compact(revision)
        with pytest.raises(RevisionCompactedError) as caught:
            await kv.get_many(keys, revision=revision - 1, max_txn_ops=10)
        assert caught.value.compacted_revision == revision


async def test_values_are_left_out(kv: KVClient, key_prefix: bytes) -> None:
    keys = await filled(kv, key_prefix, 3)
    found = await kv.get_many(keys, True, keys_only=True)
    assert [(got.key, got.value) for got in found if got] == [(key, b"") for key in keys]


async def test_many_keys_are_scanned(kv: KVClient, key_prefix: bytes) -> None:
    keys = await filled(kv, key_prefix, 300)
    told: list[tuple[int, int | None]] = []
    scanned = [
        (key, found)
        async for key, found in kv.scan_many(
            [*keys, key_prefix], max_txn_ops=100, progress=lambda *now: told.append(now)
        )
    ]
    assert scanned[-1] == (key_prefix, None)
    assert [key for key, _ in scanned[:-1]] == keys
    assert all(found is not None and found.value == key[::-1] for key, found in scanned[:-1])
    assert told == [(100, 301), (200, 301), (300, 301), (301, 301)]


async def test_a_scan_reads_its_source_no_faster_than_it_is_read(
    kv: KVClient, key_prefix: bytes
) -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for number in range(1000):
            taken = number
            yield key_prefix + b"%d" % number

    read = 0
    async with aclosing(kv.scan_many(source(), in_flight=3, max_txn_ops=10)) as scan:
        async for _ in scan:
            read += 1
            assert taken - read < 40
            if read == 500:
                break
    assert taken < 540


async def test_a_scan_whose_source_fails_yields_what_it_gave_before(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = await filled(kv, key_prefix, 300)
    read = []

    def source() -> Iterator[bytes]:
        yield from keys
        raise LookupError("no more")

    async def arriving() -> AsyncIterator[bytes]:
        for key in source():
            yield key

    async def scan(source: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        async for key, found in kv.scan_many(source):
            assert found is not None
            read.append(key)

    for failing in (source(), arriving()):
        with pytest.raises(LookupError, match="no more"):
            await scan(failing)
        assert read == keys
        read.clear()
    with pytest.raises(LookupError, match="no more"):
        await kv.get_many(source())


async def test_a_slow_source_does_not_hold_up_what_is_read(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    keys = await filled(kv, key_prefix, 40)
    answered, yielded = asyncio.Semaphore(0), asyncio.Event()

    class Answering(ChannelView):
        async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
            response = await super().call(rpc, request, **options)
            answered.release()
            return response

    async def source() -> AsyncIterator[bytes]:
        for number, key in enumerate(keys):
            if number == 29:
                # The answers to both parts before the one that this key completes.
                for _ in range(2):
                    await answered.acquire()
                for _ in range(20):
                    await asyncio.sleep(0)
            if number == 30:
                await yielded.wait()
            yield key

    read = []

    async def scan(kv: KVClient) -> None:
        async for key, _ in kv.scan_many(source(), max_txn_ops=10):
            read.append(key)
            if len(read) == 11:
                yielded.set()

    async with Channel(etcd_endpoint, **PATIENT) as channel:
        await asyncio.wait_for(scan(KVClient(Answering(channel))), 60)
    assert read == keys


async def test_a_wrong_key_is_named_when_all_before_it_were_yielded(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = [*(await filled(kv, key_prefix, 150)), b"", *[key_prefix] * 50]
    read = []

    async def scan() -> None:
        async for key, _ in kv.scan_many(keys):
            read.append(key)

    with pytest.raises(ValueError, match=r"keys\[150\] must not be empty"):
        await scan()
    assert read == keys[:150]
    with pytest.raises(ValueError, match=r"keys\[150\] must not be empty"):
        await kv.get_many(keys)
    with pytest.raises(TypeError, match="keys must be an iterable"):
        kv.scan_many(b"key")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match="keys_only must be a bool"):
        kv.scan_many(keys, keys_only="no")  # type: ignore[arg-type]  # on purpose


async def test_large_values_are_read_in_smaller_parts_where_answers_are_limited(
    kv: KVClient, etcd_endpoint: str, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % number for number in range(50)]
    await kv.put_many((key, b"x" * 20_000) for key in keys)
    options = {"grpc.max_receive_message_length": 100_000}
    async with Channel(etcd_endpoint, options=options) as channel:
        found = await KVClient(channel).get_many(keys)
    assert [got and len(got.value) for got in found] == [20_000] * 50


async def test_a_read_that_is_cancelled_ends_at_once_and_leaves_nothing(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        keys = await filled(kv, key_prefix, 500)
        for turns in range(30):
            task = asyncio.create_task(kv.get_many(keys, max_txn_ops=20))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await kv.get(keys[0])
    assert asyncio.all_tasks() == {asyncio.current_task()}
