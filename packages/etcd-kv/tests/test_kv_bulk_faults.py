"""Bulk operations when answers are lost, calls are cancelled, or permissions are missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from kv_support import PASSWORD, PATIENT, end, server_with_users

from etcd_channel import Channel, ClientError
from etcd_channel.errors import ConnectionFailedError, PermissionDeniedError
from etcd_kv import BulkError, DeleteMany, KVClient, PutMany
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere


def many(key_prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
    return [(key_prefix + b"%06d" % number, b"value") for number in range(count)]


def positions(parts: object) -> set[int]:
    return {n for part in parts for n in part.positions}  # type: ignore[attr-defined]  # parts


async def check(kv: KVClient, key_prefix: bytes, result: PutMany, count: int) -> None:
    """What is told to be done is there, what is told not to be is not, and each is told once."""
    there = {int(item.key[-6:]) for item in await kv.get_prefix(key_prefix, keys_only=True)}
    done = {n for positions in result.done_positions for n in positions}
    unknown, not_done = positions(result.unknown), positions(result.not_done)
    assert done <= there <= done | unknown
    assert len(done) == result.done
    assert not done & unknown
    assert not done & not_done
    assert not unknown & not_done
    assert done | unknown | not_done == set(range(result.read))
    assert result.read <= count


async def test_a_lost_answer_leaves_its_part_unknown(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint, **PATIENT) as channel:
        through = KVClient(channel)
        await through.get(key_prefix)
        result = PutMany()
        killed: list[asyncio.Future[None]] = []

        def progress(done: int, total: int | None) -> None:
            if done == 300:
                killed.append(proxy.kill_next_reply())

        with pytest.raises(BulkError) as caught:
            await through.put_many(
                many(key_prefix, 1000),
                max_txn_ops=100,
                in_flight=1,
                progress=progress,
                result=result,
            )
        await killed[0]
        assert isinstance(caught.value.__cause__, ConnectionFailedError)
        assert caught.value.result is result
        assert result.done_positions == [range(300)]
        assert [part.positions for part in result.unknown] == [range(300, 400)]
        assert result.unknown[0].error is caught.value.__cause__
        assert result.read == 400
        # It was applied, and not sent again.
        there = await kv.get_prefix(key_prefix)
        assert len(there) == 400
        assert {item.version for item in there} == {1}


async def test_of_several_in_flight_each_is_told_when_the_connection_breaks(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint, **PATIENT) as channel:
        lost = 0
        for number in range(20):
            mine = key_prefix + b"%d/" % number
            result = PutMany()

            def progress(done: int, total: int | None, last: int = 10 + number * 7) -> None:
                if done >= last:
                    proxy.reset()

            with contextlib.suppress(BulkError):
                await KVClient(channel).put_many(
                    many(mine, 1000), max_txn_ops=7, progress=progress, result=result
                )
            lost += len(result.unknown)
            await check(kv, mine, result, 1000)
        assert lost


async def test_a_restart_of_the_server_loses_nothing_that_is_told_to_be_done(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with Channel(private_server.endpoint, connect_timeout=20.0) as channel:
        kv = KVClient(channel)
        result = PutMany()
        restart: list[asyncio.Task[None]] = []

        async def again() -> None:
            await end(private_server)
            await private_server.start()

        def progress(done: int, total: int | None) -> None:
            if done >= 500 and not restart:
                restart.append(asyncio.create_task(again()))

        async def source() -> AsyncIterator[tuple[bytes, bytes]]:
            for pair in many(key_prefix, 5000):
                yield pair
                await asyncio.sleep(0)

        with contextlib.suppress(BulkError):
            await kv.put_many(source(), max_txn_ops=50, progress=progress, result=result)
        await restart[0]
        await check(kv, key_prefix, result, 5000)


async def test_reads_go_on_over_a_lost_answer(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        pairs = many(key_prefix, 500)
        await kv.put_many(pairs)
        killed = proxy.kill_next_reply()
        found = await kv.get_many([key for key, _ in pairs], max_txn_ops=50)
        await killed
        assert [(got.key, got.value) for got in found if got] == pairs


async def test_a_cancelled_put_tells_what_is_done(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        results: list[PutMany] = []

        def mine() -> bytes:
            return key_prefix + b"%d/" % len(results)

        async def source() -> AsyncIterator[tuple[bytes, bytes]]:
            for pair in many(mine(), 12):
                yield pair
                await asyncio.sleep(0)

        async def put() -> PutMany:
            results.append(PutMany())
            return await kv.put_many(source(), max_txn_ops=3, in_flight=2, result=results[-1])

        async def told() -> None:
            await check(kv, mine(), results[-1], 12)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task for task in left if "_deliver" in repr(task)]

        await kv.get(key_prefix)
        assert await cancel_everywhere(put, told, every=7)


async def test_a_cancelled_source_that_waits_leaves_what_it_gave_not_done(
    kv: KVClient, key_prefix: bytes
) -> None:
    waiting, written = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[tuple[bytes, bytes]]:
        for pair in many(key_prefix, 25):
            yield pair
        waiting.set()
        await asyncio.Event().wait()

    result = PutMany()

    def progress(done: int, total: int | None) -> None:
        if done == 20:
            written.set()

    task = asyncio.create_task(
        kv.put_many(source(), max_txn_ops=10, progress=progress, result=result)
    )
    await waiting.wait()
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert result.done_positions == [range(20)]
    assert [part.items for part in result.not_done] == [many(key_prefix, 25)[20:]]
    await check(kv, key_prefix, result, 25)


async def test_a_closed_client_tells_what_is_done(etcd_endpoint: str, key_prefix: bytes) -> None:
    channel = Channel(etcd_endpoint, **PATIENT)
    kv = KVClient(channel)
    result = DeleteMany()
    closing: list[asyncio.Task[None]] = []

    def progress(done: int, total: int | None) -> None:
        closing.append(asyncio.create_task(channel.close()))

    def source() -> Iterator[bytes]:
        while True:
            yield key_prefix

    with pytest.raises(BulkError) as caught:
        await kv.delete_many(source(), progress=progress, result=result)
    assert isinstance(caught.value.__cause__, ClientError)
    assert caught.value.result is result
    assert result.done
    assert result.done + sum(map(len, (*result.unknown, *result.not_done))) == result.read
    await asyncio.gather(*closing)


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[EtcdServer]:
    """A server where writer may read and write what begins with "open/"."""
    with server_with_users({"writer": "readwrite"}) as server:
        yield server


async def test_a_denied_key_is_named_by_its_part(guarded_server: EtcdServer) -> None:
    async with Channel(guarded_server.endpoint, username="writer", password=PASSWORD) as channel:
        kv = KVClient(channel)
        pairs = many(b"open/", 100)
        assert (await kv.put_many(pairs, max_txn_ops=10)).done == 100
        assert len(await kv.get_many([key for key, _ in pairs], max_txn_ops=10)) == 100
        pairs[57] = (b"closed/", b"")
        where = r"\[50:60\] \(the keys b'open/000050' to b'open/000059'\)"
        with pytest.raises(BulkError, match=rf"pairs{where}: .*permission denied") as caught:
            await kv.put_many(pairs, max_txn_ops=10)
        assert isinstance(caught.value.__cause__, PermissionDeniedError)
        assert positions(caught.value.result.not_done) >= set(range(50, 60))
        keys = [key for key, _ in pairs]
        with pytest.raises(BulkError, match=rf"keys{where}: .*permission denied"):
            await kv.delete_many(keys, max_txn_ops=10)
        with pytest.raises(PermissionDeniedError, match=rf"denied; in the read of keys{where}"):
            await kv.get_many(keys, max_txn_ops=10)
