"""Puts and deletions on a real server: every call with every argument."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from etcd_channel import KeyValue
from etcd_channel.errors import (
    InvalidArgumentError,
    KeyNotFoundError,
    LeaseNotFoundError,
    NotFoundError,
)
from etcd_kv import Delete, DeleteRange, KVClient, Put
from etcd_testing import EtcdServer

GrantLease = Callable[[], Awaitable[int]]


class LeaseWithId:
    """A lease as far as a put needs it."""

    def __init__(self, id: int) -> None:
        self.id = id


async def value_of(kv: KVClient, key: bytes) -> bytes | None:
    got = await kv.get(key)
    return None if got is None else got.value


async def lease_of(kv: KVClient, key: bytes) -> int:
    got = await kv.get(key)
    assert got is not None
    return got.lease


async def test_a_put_returns_its_revision(kv: KVClient, key_prefix: bytes) -> None:
    first = await kv.put(key_prefix, b"a")
    second = await kv.put(key_prefix, b"b")
    assert isinstance(first, Put)
    assert first.prev_kv is None
    got = await kv.get(key_prefix)
    assert got is not None
    assert (got.create_revision, got.mod_revision) == (
        first.header.revision,
        second.header.revision,
    )


async def test_a_put_returns_the_previous_key(kv: KVClient, key_prefix: bytes) -> None:
    assert (await kv.put(key_prefix, b"a", None, True)).prev_kv is None
    again = await kv.put(key_prefix, b"b", prev_kv=True)
    assert isinstance(again.prev_kv, KeyValue)
    assert (again.prev_kv.key, again.prev_kv.value) == (key_prefix, b"a")
    assert again.prev_kv.version == 1


async def test_a_key_with_a_lease_is_deleted_when_the_lease_is_revoked(
    kv: KVClient, key_prefix: bytes, etcd_server: EtcdServer, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    await kv.put(key_prefix + b"id", b"", lease)
    await kv.put(key_prefix + b"held", b"", LeaseWithId(lease))
    assert await lease_of(kv, key_prefix + b"id") == lease
    assert await lease_of(kv, key_prefix + b"held") == lease
    await etcd_server.etcdctl("lease", "revoke", f"{lease:x}")
    assert (await kv.get_prefix(key_prefix, count_only=True)).count == 0


async def test_a_put_without_a_lease_detaches_the_key_from_its_lease(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    for none in (None, 0):
        await kv.put(key_prefix, b"", lease)
        await kv.put(key_prefix, b"", none)
        assert await lease_of(kv, key_prefix) == 0


async def test_a_lease_that_does_not_exist_is_an_error(kv: KVClient, key_prefix: bytes) -> None:
    with pytest.raises(LeaseNotFoundError, match="requested lease not found") as caught:
        await kv.put(key_prefix, b"", 0x7FFF_FFFF_FFFF_0001)
    assert isinstance(caught.value, NotFoundError)
    assert caught.value.definite
    assert caught.value.method == "KV.Put"
    assert await kv.get(key_prefix) is None


async def test_a_put_can_ignore_the_value(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    await kv.put(key_prefix, b"value")
    await kv.put(key_prefix, b"", lease, ignore_value=True)
    assert await value_of(kv, key_prefix) == b"value"
    assert await lease_of(kv, key_prefix) == lease


async def test_a_put_can_ignore_the_lease(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    await kv.put(key_prefix, b"old", lease)
    await kv.put(key_prefix, b"new", ignore_lease=True)
    assert await value_of(kv, key_prefix) == b"new"
    assert await lease_of(kv, key_prefix) == lease


async def test_value_and_lease_of_a_missing_key_cannot_be_ignored(
    kv: KVClient, key_prefix: bytes
) -> None:
    with pytest.raises(KeyNotFoundError) as caught:
        await kv.put(key_prefix, b"", ignore_value=True)
    assert isinstance(caught.value, InvalidArgumentError)
    with pytest.raises(KeyNotFoundError):
        await kv.put(key_prefix, b"value", ignore_lease=True)
    assert await kv.get(key_prefix) is None


async def test_a_deletion_returns_its_revision_and_count(kv: KVClient, key_prefix: bytes) -> None:
    put = await kv.put(key_prefix, b"value")
    deleted = await kv.delete(key_prefix)
    assert isinstance(deleted, Delete)
    assert (deleted.deleted, deleted.prev_kv) == (1, None)
    assert deleted.header.revision == put.header.revision + 1
    assert await kv.get(key_prefix) is None


async def test_delete_returns_none_for_a_missing_key(kv: KVClient, key_prefix: bytes) -> None:
    assert await kv.delete(key_prefix) is None
    assert await kv.delete(key_prefix, True) is None


async def test_a_deletion_returns_the_previous_key(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put(key_prefix, b"value")
    deleted = await kv.delete(key_prefix, True)
    assert deleted is not None
    assert deleted.prev_kv is not None
    assert (deleted.prev_kv.key, deleted.prev_kv.value) == (key_prefix, b"value")


async def test_a_deletion_of_one_key_keeps_its_neighbours(kv: KVClient, key_prefix: bytes) -> None:
    for name in (b"k", b"k\0", b"kk"):
        await kv.put(key_prefix + name, b"")
    await kv.delete(key_prefix + b"k")
    left = await kv.get_prefix(key_prefix)
    assert [one.key for one in left] == [key_prefix + b"k\0", key_prefix + b"kk"]


async def test_a_prefix_is_deleted(kv: KVClient, key_prefix: bytes) -> None:
    for name in (b"a1", b"a2", b"b"):
        await kv.put(key_prefix + name, b"value " + name)
    result = await kv.delete_prefix(key_prefix + b"a")
    assert isinstance(result, DeleteRange)
    assert (result.deleted, len(result)) == (2, 0)
    assert result
    assert [one.key for one in await kv.get_prefix(key_prefix)] == [key_prefix + b"b"]


async def test_delete_prefix_returns_the_previous_keys(kv: KVClient, key_prefix: bytes) -> None:
    for name in (b"a1", b"a2"):
        await kv.put(key_prefix + name, b"value " + name)
    result = await kv.delete_prefix(key_prefix, True)
    assert [one.value for one in result] == [b"value a1", b"value a2"]
    assert [one.key for one in result.prev_kvs] == [key_prefix + b"a1", key_prefix + b"a2"]
    assert result[-1] == result[1]


async def test_a_deletion_of_no_keys_is_false(kv: KVClient, key_prefix: bytes) -> None:
    before = (await kv.put(key_prefix, b"")).header.revision
    for result in (
        await kv.delete_prefix(key_prefix + b"none"),
        await kv.delete_range(key_prefix + b"a", key_prefix + b"b", prev_kv=True),
    ):
        assert not result
        assert (result.deleted, len(result)) == (0, 0)
        assert result.header.revision >= before


async def test_delete_range_excludes_the_range_end(kv: KVClient, key_prefix: bytes) -> None:
    for name in (b"a", b"b", b"c"):
        await kv.put(key_prefix + name, b"value " + name)
    result = await kv.delete_range(key_prefix + b"a", key_prefix + b"c", True)
    assert result.deleted == 2
    assert [one.value for one in result] == [b"value a", b"value b"]
    assert [one.key for one in await kv.get_prefix(key_prefix)] == [key_prefix + b"c"]


async def test_a_value_is_replaced_if_it_is_the_expected_one(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix, b"old")
    assert await kv.replace(key_prefix, b"old", b"new") is True
    assert await value_of(kv, key_prefix) == b"new"
    assert await kv.replace(key_prefix, b"old", b"newer") is False
    assert await value_of(kv, key_prefix) == b"new"


async def test_a_missing_key_is_not_replaced(kv: KVClient, key_prefix: bytes) -> None:
    assert await kv.replace(key_prefix, b"", b"new") is False
    assert await kv.get(key_prefix) is None
    await kv.put(key_prefix, b"")
    assert await kv.replace(key_prefix, b"", b"new") is True
    assert await value_of(kv, key_prefix) == b"new"


async def test_a_replaced_value_can_have_a_lease(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    await kv.put(key_prefix, b"old")
    assert await kv.replace(key_prefix, b"old", b"new", lease)
    assert await lease_of(kv, key_prefix) == lease
    assert await kv.replace(key_prefix, b"new", b"newer", lease=LeaseWithId(lease))
    assert await lease_of(kv, key_prefix) == lease
    assert await kv.replace(key_prefix, b"newer", b"newest")
    assert await lease_of(kv, key_prefix) == 0
