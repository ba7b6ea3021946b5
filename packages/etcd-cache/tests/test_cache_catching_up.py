"""`catch_up` waits until a cache is as new as a revision, or as etcd."""

from __future__ import annotations

import asyncio

import pytest
from cache_support import HANG, Program, connect, within

from etcd_cache import CacheTimeoutError
from etcd_cache._versions import is_reliable
from etcd_testing import EtcdServer, FaultProxy


async def test_a_write_is_seen_after_at_least_its_revision(
    program: Program, key_prefix: bytes
) -> None:
    async with program.cache(key_prefix) as cache:
        for number in range(50):
            put = await program.kv.put(key_prefix, b"%d" % number)
            revision = await cache.catch_up(at_least=put.header.revision, timeout=HANG)
            entry = cache.get(key_prefix)
            assert entry is not None
            assert entry.value == b"%d" % number
            assert cache.revision == revision >= put.header.revision


async def test_a_linearizable_read_sees_the_writes_of_others(
    program: Program, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as other, program.cache(key_prefix) as cache:
        for number in range(50):
            await other.kv.put(key_prefix + b"%d" % (number % 5), b"%d" % number)
            if number % 7 == 0:
                await other.kv.delete(key_prefix + b"3")
            await cache.catch_up(linearizable=True, timeout=HANG)
            entry = cache.get(key_prefix + b"%d" % (number % 5))
            found = await other.kv.get(key_prefix + b"%d" % (number % 5))
            assert (entry and entry.value) == (found and found.value)


async def test_changes_of_other_keys_are_no_hindrance(program: Program, key_prefix: bytes) -> None:
    async with program.cache(key_prefix + b"mine/") as cache:
        for _ in range(3):
            put = await program.kv.put(key_prefix + b"other", b"")
            assert cache.revision < put.header.revision
            await cache.catch_up(linearizable=True, timeout=HANG)
            assert cache.revision >= put.header.revision


async def test_many_tasks_catch_up_at_once_though_some_are_cancelled(
    program: Program, key_prefix: bytes
) -> None:
    async with program.cache(key_prefix + b"mine/") as cache:
        for _ in range(5):
            put = await program.kv.put(key_prefix + b"other", b"")
            tasks = [
                asyncio.create_task(cache.catch_up(linearizable=True, timeout=HANG))
                for _ in range(20)
            ]
            for task in tasks[:10]:
                await asyncio.sleep(0)
                task.cancel()
            revisions = await within(asyncio.gather(*tasks[10:]))
            assert min(revisions) >= put.header.revision
            await asyncio.wait(tasks)


async def test_no_change_is_left_out_when_catching_up_overtakes_the_events(
    own_server: EtcdServer,
) -> None:
    async with (
        FaultProxy(own_server.endpoint) as proxy,
        connect(proxy.endpoint) as program,
        connect(own_server.endpoint) as other,
        program.cache(b"mine/") as cache,
    ):
        changes = cache.changes()
        proxy.refuse()
        proxy.cut()
        await other.kv.put(b"mine/passing", b"")
        await other.kv.delete(b"mine/passing")
        # So long that the watch comes back later than a read.
        await asyncio.sleep(1.5)
        proxy.heal()
        await cache.catch_up(linearizable=True, timeout=HANG)
        later = cache.changes()
        assert len(cache) == 0
        await other.kv.put(b"mine/last", b"")
        told = [(await within(anext(changes))).key for _ in range(3)]
        assert told == [b"mine/passing", b"mine/passing", b"mine/last"]
        assert (await within(anext(later))).key == b"mine/last"


async def test_a_revision_that_does_not_come_is_a_timeout(
    program: Program, key_prefix: bytes
) -> None:
    async with program.cache(key_prefix) as cache:
        with pytest.raises(CacheTimeoutError, match="did not reach revision"):
            await cache.catch_up(at_least=cache.revision + 1_000_000, timeout=0.1)


async def test_a_revision_that_is_there_needs_no_connection(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, connect(proxy.endpoint) as program:
        async with program.cache(key_prefix) as cache:
            proxy.refuse()
            proxy.cut()
            assert await cache.catch_up(at_least=cache.revision) == cache.revision


async def test_arguments_that_say_nothing_or_too_much_are_refused(
    program: Program, key_prefix: bytes
) -> None:
    async with program.cache(key_prefix) as cache:
        with pytest.raises(ValueError, match="give at_least=, or linearizable=True"):
            await cache.catch_up()
        with pytest.raises(ValueError, match="give at_least=, or linearizable=True"):
            await cache.catch_up(at_least=1, linearizable=True)
        with pytest.raises(ValueError, match="at_least must be at least 0"):
            await cache.catch_up(at_least=-1)


@pytest.mark.parametrize("version", ["3.4.25", "3.4.30", "3.5.8", "3.5.30", "3.6.0", "3.7.0-rc.1"])
def test_progress_is_reliable_since_etcd_corrected_it(version: str) -> None:
    assert is_reliable(version)


@pytest.mark.parametrize("version", ["3.4.24", "3.5.0", "3.5.7", "3.3.27", "not decided", ""])
def test_progress_of_other_versions_is_not(version: str) -> None:
    assert not is_reliable(version)
