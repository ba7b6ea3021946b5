"""Prefixes at the ends of the key space, read and deleted on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kv_support import PATIENT

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
async def private_kv(private_server: EtcdServer) -> AsyncIterator[KVClient]:
    """A client of a server that holds exactly `KEYS`."""
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        await kv.delete_prefix(b"")
        for key in KEYS:
            await kv.put(key, b"value of " + key)
        yield kv


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_get_prefix_returns_exactly_the_keys_that_begin_with_it(
    private_kv: KVClient, prefix: bytes
) -> None:
    result = await private_kv.get_prefix(prefix)
    assert [one.key for one in result] == [key for key in KEYS if key.startswith(prefix)]
    assert result.count == len(result) > 0


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_delete_prefix_deletes_exactly_the_keys_that_begin_with_it(
    private_kv: KVClient, prefix: bytes
) -> None:
    result = await private_kv.delete_prefix(prefix, prev_kv=True)
    assert [one.key for one in result] == [key for key in KEYS if key.startswith(prefix)]
    left = [one.key for one in await private_kv.get_all()]
    assert left == [key for key in KEYS if not key.startswith(prefix)]


async def test_the_empty_prefix_matches_all_keys(private_kv: KVClient) -> None:
    assert [one.key for one in await private_kv.get_prefix(b"")] == KEYS
    assert [one.key for one in await private_kv.get_all()] == KEYS
    assert (await private_kv.delete_prefix(b"")).deleted == len(KEYS)
    assert not await private_kv.get_all()


async def test_a_range_can_span_the_lowest_and_the_highest_key(private_kv: KVClient) -> None:
    assert [one.key for one in await private_kv.get_range(b"\0", b"\0")] == KEYS
    assert [one.key for one in await private_kv.get_range(b"\xff", b"\0")] == KEYS[-5:]
    assert (await private_kv.delete_range(b"\xff\xff", b"\0")).deleted == 2
    assert (await private_kv.delete_range(b"\0", b"a")).deleted == 2
    assert [one.key for one in await private_kv.get_all()] == KEYS[2:-2]
