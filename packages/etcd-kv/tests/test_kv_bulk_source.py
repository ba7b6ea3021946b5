"""Bulk operations on a source that is read in another thread, as etcd-sync reads iterables."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from kv_support import PATIENT

from etcd_channel import Channel, ChannelView
from etcd_kv import BulkError, KVClient, PutMany
from etcd_kv.bulk_source import IterableElsewhere


class InThreads(IterableElsewhere):
    """An iterable that is read in threads, never in that of the event loop."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.threads: set[int] = set()

    async def read(self, take: Callable[[Iterator[Any]], bool]) -> bool:
        return await asyncio.to_thread(self._read, take)

    def _read(self, take: Callable[[Iterator[Any]], bool]) -> bool:
        self.threads.add(threading.get_ident())
        return take(self._items)


class Sized(InThreads):
    def __len__(self) -> int:
        return 300


def pairs(key_prefix: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
    return ((key_prefix + b"%03d" % number, b"%d" % number) for number in range(count))


async def test_all_items_are_taken_in_their_order_and_in_another_thread(
    kv: KVClient, key_prefix: bytes
) -> None:
    source = InThreads(pairs(key_prefix, 300))
    assert (await kv.put_many(source)).done == 300  # type: ignore[arg-type]  # not in its type
    assert source.threads
    assert threading.get_ident() not in source.threads
    keys = InThreads(key for key, _ in pairs(key_prefix, 300))
    found = await kv.get_many(keys)  # type: ignore[arg-type]  # as above
    assert [get and get.value for get in found] == [b"%d" % number for number in range(300)]


@pytest.mark.parametrize(("kind", "total"), [(InThreads, None), (Sized, 300)])
async def test_the_total_is_told_if_the_source_has_a_length(
    kv: KVClient, key_prefix: bytes, kind: type[InThreads], total: int | None
) -> None:
    told: list[tuple[int, int | None]] = []
    source: Any = kind(pairs(key_prefix, 300))
    await kv.put_many(source, progress=lambda *progress: told.append(progress))
    assert told[-1] == (300, total)


async def test_an_error_of_the_iterator_is_raised_when_what_it_gave_is_done(
    kv: KVClient, key_prefix: bytes
) -> None:
    def items() -> Iterator[tuple[bytes, bytes]]:
        yield from pairs(key_prefix, 200)
        raise LookupError("no more")

    source: Any = InThreads(items())
    result = PutMany()
    with pytest.raises(LookupError, match="no more"):
        await kv.put_many(source, result=result)
    assert (result.read, result.done) == (200, 200)


async def test_no_more_is_read_after_a_failure(etcd_endpoint: str, key_prefix: bytes) -> None:
    failed = threading.Event()
    loop = asyncio.get_running_loop()
    read_on: list[int] = []

    class Failing(ChannelView):
        async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
            try:
                return await super().call(rpc, request, **options)
            finally:
                failed.set()

    def items() -> Iterator[tuple[bytes, bytes, int]]:
        for key, value in pairs(key_prefix, 10):
            yield key, value, 999  # there is no such lease
        failed.wait()
        for _ in range(20):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        # Less than a transaction, so that none is sent meanwhile.
        for number in range(5):
            read_on.append(number)
            yield key_prefix + b"%d" % number, b"", 999

    source: Any = InThreads(items())
    result = PutMany()
    async with Channel(etcd_endpoint, **PATIENT) as channel:
        with pytest.raises(BulkError, match=r"pairs\[0:10\].*lease not found"):
            await KVClient(Failing(channel)).put_many(source, max_txn_ops=10, result=result)
    assert read_on == [0]
    assert (result.read, result.done) == (11, 0)
