"""A cache has the keys of its prefix, at one revision, and follows them."""

from __future__ import annotations

import asyncio

import pytest
from cache_support import (
    Program,
    connect,
    content,
    in_etcd,
    same_as_etcd,
    until,
    watchers,
    within,
)

from etcd_cache import CacheClosedError, CacheTimeoutError
from etcd_channel import ClientClosedError
from etcd_testing import EtcdServer


async def test_it_has_the_keys_that_are_there_and_those_that_come(
    program: Program, key_prefix: bytes
) -> None:
    await program.kv.put(key_prefix + b"a", b"1")
    last = await program.kv.put(key_prefix + b"b", b"2")
    async with program.cache(key_prefix) as cache:
        assert cache.revision >= last.header.revision
        entry = cache.get(key_prefix + b"a")
        assert entry is not None
        assert (entry.key, entry.value, entry.version) == (key_prefix + b"a", b"1", 1)
        assert entry.create_revision == entry.mod_revision > 0
        await program.kv.put(key_prefix + b"a", b"3")
        await program.kv.delete(key_prefix + b"b")
        await within(cache.wait_for(lambda cache: key_prefix + b"b" not in cache))
        entry = cache.get(key_prefix + b"a")
        assert entry is not None
        assert (entry.value, entry.version) == (b"3", 2)
        assert cache.get(key_prefix + b"b") is None
        assert len(cache) == 1
        assert await same_as_etcd(cache, program.kv)


async def test_an_empty_prefix_is_an_empty_cache(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        assert cache
        assert len(cache) == 0
        assert list(cache.items()) == []
        assert cache.get(key_prefix) is None
        await program.kv.put(key_prefix, b"1")
        entry = await within(cache.wait_for(lambda cache: cache.get(key_prefix)))
        assert entry.value == b"1"


async def test_the_whole_store_can_be_cached(own_server: EtcdServer) -> None:

    async with connect(own_server.endpoint) as program:
        await program.kv.put(b"\0", b"first")
        await program.kv.put(b"\xff\xff", b"last")
        async with program.cache(b"") as cache:
            assert [entry.value for entry in cache.items()] == [b"first", b"last"]
            assert [entry.value for entry in cache.get_prefix(b"\xff")] == [b"last"]
            assert len(cache.get_range(b"a", b"\0")) == 1
            await program.kv.put(b"middle", b"1")
            await within(cache.wait_for(lambda cache: cache.get(b"middle")))


async def test_ranges_are_those_of_etcd(program: Program, key_prefix: bytes) -> None:
    keys = [key_prefix + name for name in (b"a", b"a/1", b"a/2", b"b", b"c")]
    for key in keys:
        await program.kv.put(key, b"v")
    async with program.cache(key_prefix) as cache:
        for start, end in [(b"a", b"b"), (b"a/", b"c"), (b"b", b"a"), (b"a", b"a"), (b"", b"z")]:
            bounds = key_prefix + start, key_prefix + end
            here, there = cache.get_range(*bounds), await program.kv.get_range(*bounds)
            assert [entry.key for entry in here] == [item.key for item in there]
            assert here.revision == cache.revision
        assert [entry.key for entry in cache.get_range(keys[0], None)] == keys[:1]
        assert [entry.key for entry in cache.get_prefix(key_prefix + b"a/")] == keys[1:3]
        assert [entry.key for entry in cache.get_prefix(key_prefix)] == keys


async def test_reads_outside_of_the_prefix_are_refused(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        with pytest.raises(ValueError, match="key must be inside of the prefix"):
            cache.get(b"elsewhere")
        with pytest.raises(ValueError, match="key_prefix must be inside of the prefix"):
            cache.get_prefix(key_prefix[:-1])
        with pytest.raises(ValueError, match="range_start and range_end must be inside"):
            cache.get_range(key_prefix, b"\0")
        with pytest.raises(TypeError, match="key must be bytes"):
            cache.get("text")  # type: ignore[arg-type]  # that is the test


async def test_what_was_returned_does_not_change(program: Program, key_prefix: bytes) -> None:
    await program.kv.put(key_prefix, b"1")
    async with program.cache(key_prefix) as cache:
        before = cache.items()
        revision = before.revision
        await program.kv.put(key_prefix, b"2")
        await within(cache.wait_for(lambda cache: cache.revision > revision))
        assert [entry.value for entry in before] == [b"1"]
        assert before.revision == revision
        assert cache.items() != before


async def test_many_pages_make_one_list(program: Program, key_prefix: bytes) -> None:
    await program.kv.put_many([(key_prefix + b"%05d" % n, b"v" * 100) for n in range(3000)])
    async with program.caches.cache(key_prefix, page_bytes=10_000) as cache:
        assert len(cache) == 3000
        assert content(cache) == await in_etcd(program.kv, key_prefix)


async def test_a_left_cache_is_closed_and_leaves_no_watch(own_server: EtcdServer) -> None:

    async with connect(own_server.endpoint) as program:
        cache = program.cache(b"k")
        with pytest.raises(CacheClosedError, match="not open"):
            cache.get(b"k")
        async with cache:
            waiting = asyncio.create_task(cache.wait_for(lambda cache: cache.get(b"k/never")))
            await until(lambda: watchers(own_server), lambda count: count == 1)
        with pytest.raises(CacheClosedError, match="left"):
            await waiting
        for read in (cache.items, lambda: cache.get(b"k"), lambda: len(cache), cache.changes):
            with pytest.raises(CacheClosedError, match="left"):
                read()
        with pytest.raises(CacheClosedError):
            await cache.catch_up(linearizable=True)
        with pytest.raises(ValueError, match="entered once"):
            await cache.__aenter__()
        await until(lambda: watchers(own_server), lambda count: count == 0)


async def test_a_closed_client_ends_the_cache(etcd_endpoint: str, key_prefix: bytes) -> None:

    async with connect(etcd_endpoint) as program, program.cache(key_prefix) as cache:
        await program.channel.close()
        with pytest.raises(ClientClosedError):
            await within(cache.wait_for(lambda cache: False))
        with pytest.raises(ClientClosedError):
            cache.get(key_prefix)


async def test_waiting_has_a_timeout(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix) as cache:
        with pytest.raises(CacheTimeoutError, match="not fulfilled"):
            await cache.wait_for(lambda cache: cache.get(key_prefix), timeout=0.01)
        with pytest.raises(ZeroDivisionError):
            await cache.wait_for(lambda cache: 1 / 0)
        with pytest.raises(TypeError, match="predicate must be callable"):
            await cache.wait_for(None)  # type: ignore[arg-type]  # that is the test


async def test_invalid_arguments_are_refused(program: Program) -> None:
    with pytest.raises(TypeError, match="key_prefix must be bytes"):
        program.caches.cache("text")  # type: ignore[call-overload]  # that is the test
    with pytest.raises(ValueError, match="page_bytes must be at least 1"):
        program.caches.cache(b"k", page_bytes=0)
    with pytest.raises(ValueError, match="timeout must be a positive"):
        program.caches.cache(b"k", timeout=0)
    with pytest.raises(TypeError, match="decode must be callable"):
        program.caches.cache(b"k", decode=1)  # type: ignore[call-overload]  # that is the test
