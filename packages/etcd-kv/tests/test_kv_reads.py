"""Reads on a real server: every call with every option."""

from __future__ import annotations

import pytest

from etcd_channel import KeyValue, ResponseHeader
from etcd_channel.errors import FutureRevisionError
from etcd_kv import Get, GetRange, KVClient, SortOrder, SortTarget


def names(result: GetRange, prefix: bytes) -> list[str]:
    """The keys of a result without their prefix."""
    assert all(kv.key.startswith(prefix) for kv in result)
    return [kv.key[len(prefix) :].decode() for kv in result]


async def test_get_returns_the_revisions_and_the_version_of_a_key(
    kv: KVClient, key_prefix: bytes
) -> None:
    key = key_prefix + b"key"
    created = (await kv.put(key, b"old")).header.revision
    changed = (await kv.put(key, b"new")).header
    got = await kv.get(key)
    assert isinstance(got, Get)
    assert (got.key, got.value) == (key, b"new")
    assert (got.create_revision, got.mod_revision) == (created, changed.revision)
    assert (got.version, got.lease) == (2, 0)
    assert got.header.cluster_id == changed.cluster_id != 0
    assert got.header.member_id == changed.member_id != 0
    assert got.header.raft_term == changed.raft_term > 0
    assert got.header.revision >= changed.revision


async def test_get_returns_none_for_a_missing_key(kv: KVClient, key_prefix: bytes) -> None:
    assert await kv.get(key_prefix) is None
    assert await kv.get(key_prefix, True) is None
    assert await kv.get(key_prefix, revision=1) is None


@pytest.mark.parametrize("value", [b"", b"\0", bytes(range(256)), b"x" * 1_000_000])
async def test_any_bytes_can_be_a_value(kv: KVClient, key_prefix: bytes, value: bytes) -> None:
    key = key_prefix + bytes(range(256))
    await kv.put(key, value)
    got = await kv.get(key)
    assert got is not None
    assert (got.key, got.value) == (key, value)


async def test_a_key_is_read_at_a_revision(kv: KVClient, key_prefix: bytes) -> None:
    before = (await kv.put(key_prefix + b"other", b"")).header.revision
    old = (await kv.put(key_prefix, b"old")).header.revision
    await kv.put(key_prefix, b"new")
    assert await kv.get(key_prefix, revision=before) is None
    got = await kv.get(key_prefix, revision=old)
    assert got is not None
    assert (got.value, got.version) == (b"old", 1)
    # The header has the present revision, even if an older one was read.
    assert got.header.revision > old
    newest = await kv.get(key_prefix, revision=0)
    assert newest is not None
    assert newest.value == b"new"


async def test_a_revision_that_does_not_exist_yet_is_an_error(
    kv: KVClient, key_prefix: bytes
) -> None:
    revision = (await kv.put(key_prefix, b"")).header.revision + 1_000_000
    with pytest.raises(FutureRevisionError) as caught:
        await kv.get(key_prefix, revision=revision)
    assert caught.value.method == "KV.Range"
    assert caught.value.definite
    with pytest.raises(FutureRevisionError):
        await kv.get_prefix(key_prefix, revision=revision)


async def test_a_key_is_read_without_its_value(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put(key_prefix, b"value")
    got = await kv.get(key_prefix, keys_only=True)
    assert got is not None
    assert (got.key, got.value, got.version) == (key_prefix, b"", 1)


async def test_get_returns_none_for_a_key_outside_the_limits_of_revisions(
    kv: KVClient, key_prefix: bytes
) -> None:
    created = (await kv.put(key_prefix, b"old")).header.revision
    changed = (await kv.put(key_prefix, b"new")).header.revision
    assert await kv.get(key_prefix, min_mod_revision=changed)
    assert await kv.get(key_prefix, min_mod_revision=changed + 1) is None
    assert await kv.get(key_prefix, max_mod_revision=changed)
    assert await kv.get(key_prefix, max_mod_revision=created) is None
    assert await kv.get(key_prefix, min_create_revision=created)
    assert await kv.get(key_prefix, min_create_revision=changed) is None
    assert await kv.get(key_prefix, max_create_revision=created)
    assert await kv.get(key_prefix, max_create_revision=created - 1) is None


async def test_a_key_can_be_read_serializably(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put(key_prefix, b"value")
    # The cluster has one member, so its local data is up to date.
    for got in (await kv.get(key_prefix, True), await kv.get(key_prefix, serializable=True)):
        assert got is not None
        assert got.value == b"value"
    assert len(await kv.get_prefix(key_prefix, serializable=True)) == 1


async def test_get_prefix_returns_all_keys(kv: KVClient, key_prefix: bytes) -> None:
    for name in (b"b", b"a", b"c"):
        await kv.put(key_prefix + name, b"value " + name)
    result = await kv.get_prefix(key_prefix)
    assert names(result, key_prefix) == ["a", "b", "c"]
    assert [one.value for one in result] == [b"value a", b"value b", b"value c"]
    assert (len(result), result.count, result.more) == (3, 3, False)
    assert isinstance(result.header, ResponseHeader)
    assert isinstance(result[0], KeyValue)
    assert result


async def test_get_prefix_without_matches_is_empty_and_false(
    kv: KVClient, key_prefix: bytes
) -> None:
    result = await kv.get_prefix(key_prefix)
    assert (len(result), result.count, result.more) == (0, 0, False)
    assert not result
    assert list(result) == result[:] == []


@pytest.fixture
async def four(kv: KVClient, key_prefix: bytes) -> bytes:
    """Four keys whose order is different for each sort target.

    By key a b c d, by value d c a b, by version b a d c, by creation c a d b, by modification
    d b a c.
    """
    values = {b"a": b"3", b"b": b"4", b"c": b"2", b"d": b"1"}
    for name in (b"c", b"a", b"d", b"b"):
        await kv.put(key_prefix + name, b"")
    versions = {b"a": 2, b"b": 1, b"c": 4, b"d": 3}
    for name, version in versions.items():
        for _ in range(version - 2):
            await kv.put(key_prefix + name, b"")
    for name in (b"d", b"a", b"c"):
        await kv.put(key_prefix + name, values[name])
    return key_prefix


async def test_keys_are_returned_in_the_requested_order(kv: KVClient, four: bytes) -> None:
    ends = four, four + b"\xff"

    async def order(sort_order: SortOrder | None, sort_target: SortTarget) -> str:
        by_prefix = await kv.get_prefix(four, sort_order, sort_target)
        by_range = await kv.get_range(*ends, sort_order=sort_order, sort_target=sort_target)
        assert list(by_prefix.kvs) == list(by_range.kvs)
        every = await kv.get_all(sort_order, sort_target)
        assert [one for one in every if one.key.startswith(four)] == list(by_prefix)
        return "".join(names(by_prefix, four))

    targets: tuple[SortTarget, ...] = ("key", "version", "create", "mod")
    by = {target: await order("ascend", target) for target in targets}
    assert by == {"key": "abcd", "version": "badc", "create": "cadb", "mod": "bdac"}
    # The value of b is empty.
    assert await order("ascend", "value") == "bdca"
    by["value"] = "bdca"
    for target, ascending in by.items():
        assert await order("descend", target) == ascending[::-1]
    assert await order(None, "key") == "abcd"


async def test_the_documented_arguments_may_be_given_by_position(kv: KVClient, four: bytes) -> None:
    result = await kv.get_prefix(four, "descend", "create", True)
    assert names(result, four) == ["b", "d", "a", "c"]
    assert {one.value for one in result} == {b""}
    ranged = await kv.get_range(four + b"a", four + b"d", "descend", "key")
    assert names(ranged, four) == ["c", "b", "a"]
    every = await kv.get_all("ascend", "mod", True)
    assert {one.value for one in every} == {b""}


async def test_a_range_includes_its_start_and_excludes_its_end(kv: KVClient, four: bytes) -> None:
    assert names(await kv.get_range(four + b"b", four + b"d"), four) == ["b", "c"]
    assert names(await kv.get_range(four + b"b", four + b"b"), four) == []
    assert names(await kv.get_range(four + b"c", four + b"c\0"), four) == ["c"]


async def test_a_range_end_of_zero_includes_all_later_keys(kv: KVClient, four: bytes) -> None:
    result = await kv.get_range(four + b"b", b"\0")
    assert [one.key for one in result][:3] == [four + b"b", four + b"c", four + b"d"]
    assert result.count == (await kv.get_range(four + b"b", b"\xff" * 20)).count


async def test_get_all_returns_all_keys_of_the_store(
    kv: KVClient, four: bytes, key_prefix: bytes
) -> None:
    await kv.put(b"\0", b"")
    await kv.put(b"\xff" * 9, b"")
    every = [one.key for one in await kv.get_all()]
    assert every == sorted(every)
    assert every[0] == b"\0"
    assert {four + b"a", four + b"d", b"\xff" * 9} <= set(every)


async def test_a_limit_sets_more_and_does_not_change_the_count(kv: KVClient, four: bytes) -> None:
    result = await kv.get_prefix(four, limit=3)
    assert (names(result, four), result.count, result.more) == (["a", "b", "c"], 4, True)
    exact = await kv.get_prefix(four, limit=4)
    assert (len(exact), exact.count, exact.more) == (4, 4, False)
    for unlimited in (None, 0):
        assert len(await kv.get_prefix(four, limit=unlimited)) == 4
    last = await kv.get_prefix(four, "descend", limit=1)
    assert names(last, four) == ["d"]


async def test_keys_are_counted_without_being_returned(kv: KVClient, four: bytes) -> None:
    result = await kv.get_prefix(four, count_only=True)
    assert (len(result), result.count) == (0, 4)
    assert result
    assert (await kv.get_range(four, four + b"c", count_only=True)).count == 2
    assert (await kv.get_all(count_only=True)).count >= 4


async def test_a_range_is_read_without_values(kv: KVClient, four: bytes) -> None:
    result = await kv.get_range(four + b"a", four + b"b", keys_only=True)
    assert [(one.key, one.value, one.version) for one in result] == [(four + b"a", b"", 2)]


async def test_a_range_is_read_at_a_revision(kv: KVClient, four: bytes) -> None:
    revision = (await kv.get_prefix(four)).header.revision
    await kv.delete_prefix(four)
    assert not await kv.get_prefix(four)
    assert names(await kv.get_prefix(four, revision=revision), four) == ["a", "b", "c", "d"]
    assert (await kv.get_all(revision=revision, count_only=True)).count >= 4


async def test_a_range_is_filtered_by_revisions(kv: KVClient, four: bytes) -> None:
    by_modification = {one.key[-1:].decode(): one.mod_revision for one in await kv.get_prefix(four)}
    by_creation = {one.key[-1:].decode(): one.create_revision for one in await kv.get_prefix(four)}
    # The orders of modification and of creation are b d a c and c a d b.
    newer = await kv.get_prefix(four, min_mod_revision=by_modification["a"])
    assert names(newer, four) == ["a", "c"]
    older = await kv.get_prefix(four, max_mod_revision=by_modification["d"])
    assert names(older, four) == ["b", "d"]
    later = await kv.get_range(four, four + b"\xff", min_create_revision=by_creation["d"])
    assert names(later, four) == ["b", "d"]
    earlier = await kv.get_all(
        max_create_revision=by_creation["a"], min_create_revision=by_creation["c"]
    )
    assert names(earlier, four) == ["a", "c"]


async def test_a_later_write_does_not_change_a_result(kv: KVClient, four: bytes) -> None:
    result = await kv.get_prefix(four)
    await kv.delete_prefix(four)
    assert names(result, four) == ["a", "b", "c", "d"]
