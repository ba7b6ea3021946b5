"""Prefixes at the edges of what keys there can be, read and deleted on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_testing import EtcdServer

KEYS = sorted(
    [
        b"\0",
        b"\0\0",
        b"a",
        b"ab",
        b"ab\0",
        b"ab\xfe",
        b"ab\xff",
        b"ab\xff\0",
        b"ab\xffz",
        b"ab\xff\xff",
        b"ab\xff\xff\xff",
        b"ac",
        b"b",
        b"\xfe",
        b"\xfe\xff",
        b"\xfe\xff\xff",
        b"\xff",
        b"\xff\0",
        b"\xff\xfe",
        b"\xff\xff",
        b"\xff\xff\xff",
    ]
)
PREFIXES = [b"", b"\0", b"a", b"ab", b"ab\xff", b"ab\xff\xff", b"\xfe\xff", b"\xff", b"\xff\xff"]


@pytest.fixture
async def lone(lone_server: EtcdServer) -> AsyncIterator[KVClient]:
    """The service on a server that holds nothing but `KEYS`."""
    async with Channel(lone_server.endpoint) as channel:
        kv = KVClient(channel)
        await kv.delete_prefix(b"")
        for key in KEYS:
            await kv.put(key, b"value of " + key)
        yield kv


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_prefix_reads_the_keys_that_begin_with_it_and_no_others(
    lone: KVClient, prefix: bytes
) -> None:
    result = await lone.get_prefix(prefix)
    assert [one.key for one in result] == [key for key in KEYS if key.startswith(prefix)]
    assert result.count == len(result) > 0


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_prefix_deletes_the_keys_that_begin_with_it_and_no_others(
    lone: KVClient, prefix: bytes
) -> None:
    result = await lone.delete_prefix(prefix, prev_kv=True)
    assert [one.key for one in result] == [key for key in KEYS if key.startswith(prefix)]
    left = [one.key for one in await lone.get_all()]
    assert left == [key for key in KEYS if not key.startswith(prefix)]


async def test_the_empty_prefix_is_all_keys(lone: KVClient) -> None:
    assert [one.key for one in await lone.get_prefix(b"")] == KEYS
    assert [one.key for one in await lone.get_all()] == KEYS
    assert (await lone.delete_prefix(b"")).deleted == len(KEYS)
    assert not await lone.get_all()


async def test_ranges_reach_from_the_lowest_key_to_the_highest(lone: KVClient) -> None:
    assert [one.key for one in await lone.get_range(b"\0", b"\0")] == KEYS
    assert [one.key for one in await lone.get_range(b"\xff", b"\0")] == KEYS[-5:]
    assert (await lone.delete_range(b"\xff\xff", b"\0")).deleted == 2
    assert (await lone.delete_range(b"\0", b"a")).deleted == 2
    assert [one.key for one in await lone.get_all()] == KEYS[2:-2]
