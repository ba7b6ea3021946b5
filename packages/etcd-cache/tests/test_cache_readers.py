"""Readers of changes: each gets every change, or a gap if that is what it chose."""

from __future__ import annotations

import asyncio
import gc

import pytest
from cache_support import HANG, Program, content, replayed, within

from etcd_cache import CacheChange, CacheChangeKind, CacheGap


async def test_each_of_many_readers_gets_every_change(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        readers = [cache.changes() for _ in range(5)]
        before = content(cache)
        for number in range(100):
            await program.kv.put(key_prefix + b"%d" % (number % 7), b"%d" % number)
        await program.kv.delete_prefix(key_prefix + b"1")
        for reader in readers:
            changes = [await within(anext(reader)) for _ in range(101)]
            assert replayed(before, changes) == content(cache)
            assert changes[0].previous is None
            assert changes[7].previous == changes[0].entry
            assert changes[-1].kind == "DELETE"
            assert changes[-1].entry is None
            assert not any(change.from_list for change in changes)


async def test_the_content_can_come_first(program: Program, key_prefix: bytes) -> None:
    await program.kv.put(key_prefix + b"a", b"1")
    await program.kv.put(key_prefix + b"b", b"2")
    async with program.cache(key_prefix) as cache:
        reader = cache.changes(initial=True)
        await program.kv.delete(key_prefix + b"a")
        changes = [await within(anext(reader)) for _ in range(3)]
        assert [change.kind for change in changes] == ["PUT", "PUT", "DELETE"]
        assert [change.from_list for change in changes] == [True, True, False]
        assert changes[2].previous == changes[0].entry


async def test_a_reader_ends_with_the_cache_after_what_it_has_not_read(
    program: Program, key_prefix: bytes
) -> None:
    async with program.cache(key_prefix) as cache:
        reader = cache.changes()
        put = await program.kv.put(key_prefix, b"1")
        await cache.catch_up(at_least=put.header.revision, timeout=HANG)
        waiting = cache.changes()
        task = asyncio.create_task(_all(waiting))
        await asyncio.sleep(0)
    assert [change.key async for change in reader] == [key_prefix]
    assert await within(task) == []


async def _all(reader: object) -> list[object]:
    return [change async for change in reader]  # type: ignore[attr-defined]  # any reader


async def test_the_cache_waits_for_a_full_reader(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        slow = cache.changes(buffer=10)
        before = content(cache)
        put = None
        for number in range(300):
            put = await program.kv.put(key_prefix + b"%d" % number, b"")
        assert put is not None
        last = put.header.revision
        changes: list[CacheChange[bytes]] = []
        while len(changes) < 300:
            changes.append(await within(anext(slow)))
            if len(changes) == 10:
                assert cache.revision < last
        await within(cache.wait_for(lambda cache: cache.revision >= last))
        assert replayed(before, changes) == content(cache)


@pytest.mark.parametrize("how", ["closed", "dropped"])
async def test_a_full_reader_that_is_gone_is_not_waited_for(
    program: Program, key_prefix: bytes, how: str
) -> None:
    async with program.cache(key_prefix) as cache:
        reader = cache.changes(buffer=1)
        for number in range(20):
            await program.kv.put(key_prefix, b"%d" % number)
        await within(anext(reader))
        if how == "closed":
            reader.close()
            with pytest.raises(StopAsyncIteration):
                await anext(reader)
        del reader
        gc.collect()

        def has_the_last(_: object) -> bool:
            entry = cache.get(key_prefix)
            return entry is not None and entry.value == b"19"

        await within(cache.wait_for(has_the_last))


async def test_a_slow_reader_can_choose_a_gap_and_a_fresh_list(
    program: Program, key_prefix: bytes
) -> None:
    async with program.cache(key_prefix) as cache:
        slow = cache.changes(buffer=10, on_overflow="gap")
        put = None
        for number in range(100):
            put = await program.kv.put(key_prefix + b"%d" % number, b"%d" % number)
        assert put is not None
        # The cache does not wait for it.
        await cache.catch_up(at_least=put.header.revision, timeout=HANG)
        gap = await within(anext(slow))
        assert isinstance(gap, CacheGap)
        assert gap.entries == cache.items()
        state = content(cache)
        await program.kv.delete(key_prefix + b"50")
        await program.kv.put(key_prefix + b"51", b"new")
        changes = []
        for _ in range(2):
            change = await within(anext(slow))
            assert isinstance(change, CacheChange)
            changes.append(change)
        assert replayed(state, changes) == content(cache)


async def test_cancelling_a_reader_loses_no_change(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        reader = cache.changes()
        seen = []
        task = asyncio.create_task(anext(reader))
        for number in range(30):
            await program.kv.put(key_prefix, b"%d" % number)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                seen.append(task.result())
            task = asyncio.create_task(anext(reader))
        seen.append(await within(task))
        while len(seen) < 30:
            seen.append(await within(anext(reader)))
        values = [change.entry.value for change in seen if change.entry is not None]
        assert values == [b"%d" % number for number in range(30)]


async def test_a_watch_from_the_list_has_what_is_there_and_what_comes(
    program: Program, key_prefix: bytes
) -> None:
    await program.kv.put(key_prefix + b"a", b"1")
    seen = []
    async for change in program.caches.watch_from_list(key_prefix):
        seen.append((change.kind, change.key[len(key_prefix) :], change.from_list))
        if len(seen) == 1:
            await program.kv.put(key_prefix + b"b", b"2")
            await program.kv.delete(key_prefix + b"a")
        if len(seen) == 3:
            break
    assert seen == [
        (CacheChangeKind.PUT, b"a", True),
        (CacheChangeKind.PUT, b"b", False),
        (CacheChangeKind.DELETE, b"a", False),
    ]


async def test_invalid_arguments_are_refused(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        with pytest.raises(ValueError, match="buffer must be at least 1"):
            cache.changes(buffer=0)
        with pytest.raises(ValueError, match="on_overflow must be one of 'wait', 'gap'"):
            cache.changes(on_overflow="drop")  # type: ignore[call-overload]  # that is the test
