"""Values are decoded; those that cannot be follow the policy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cache_support import HANG, Program, within

from etcd_cache import CacheDecodeError


async def test_values_are_decoded(program: Program, key_prefix: bytes) -> None:
    await program.kv.put(key_prefix + b"limit", b"7")
    async with program.caches.cache(key_prefix, decode=json.loads) as cache:
        entry = cache.get(key_prefix + b"limit")
        assert entry is not None
        assert entry.value == 7
        reader = cache.changes()
        await program.kv.put(key_prefix + b"limit", b"[8]")
        change = await within(anext(reader))
        assert (change.previous, change.entry and change.entry.value) == (entry, [8])


async def test_the_last_good_value_stays_and_readers_are_told(
    program: Program, key_prefix: bytes
) -> None:
    good, bad = key_prefix + b"good", key_prefix + b"bad"
    await program.kv.put(good, b"1")
    await program.kv.put(bad, b"no number")
    async with program.caches.cache(key_prefix, decode=int) as cache:
        assert [entry.key for entry in cache.items()] == [good]
        assert set(cache.undecodable) == {bad}
        reader = cache.changes()
        put = await program.kv.put(good, b"one")
        change = await within(anext(reader))
        assert (change.kind, change.key) == ("UNDECODABLE", good)
        assert isinstance(change.error, ValueError)
        entry = cache.get(good)
        assert entry is not None
        assert (entry.value, entry.mod_revision < put.header.revision) == (1, True)
        assert set(cache.undecodable) == {bad, good}
        # What cannot be decoded does not hinder a read that must be recent.
        other = await program.kv.put(b"/elsewhere" + key_prefix, b"")
        await cache.catch_up(linearizable=True, timeout=HANG)
        assert cache.revision >= other.header.revision
        await program.kv.put(bad, b"2")
        await program.kv.delete(good)
        await within(cache.wait_for(lambda cache: cache.get(bad) and good not in cache))
        assert not cache.undecodable


async def test_a_bad_value_can_count_as_deleted(program: Program, key_prefix: bytes) -> None:
    await program.kv.put(key_prefix, b"1")
    async with program.caches.cache(key_prefix, decode=int, on_undecodable="drop") as cache:
        reader = cache.changes()
        await program.kv.put(key_prefix, b"one")
        change = await within(anext(reader))
        assert (change.kind, cache.get(key_prefix)) == ("DELETE", None)
        assert isinstance(change.error, ValueError)


async def test_a_bad_value_can_end_the_cache(program: Program, key_prefix: bytes) -> None:
    def never(cache: Any) -> bool:
        return False

    await program.kv.put(key_prefix, b"1")
    async with program.caches.cache(key_prefix, decode=int, on_undecodable="raise") as cache:
        reader = cache.changes()
        await program.kv.put(key_prefix, b"one")
        for waiting in (cache.wait_for(never), anext(reader), cache.catch_up(linearizable=True)):
            with pytest.raises(CacheDecodeError, match="cannot be decoded: ValueError"):
                await within(waiting)
        with pytest.raises(CacheDecodeError):
            cache.get(key_prefix)
    with pytest.raises(CacheDecodeError):
        async with program.caches.cache(key_prefix, decode=int, on_undecodable="raise"):
            pass
