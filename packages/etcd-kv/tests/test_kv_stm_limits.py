"""Ranges with a limit, in which keys exist that the body has read as missing."""

from __future__ import annotations

import pytest

from etcd_kv import Isolation, KVClient, STMTransaction


async def put_all(kv: KVClient, key_prefix: bytes, *names: bytes) -> None:
    for name in names:
        await kv.put(key_prefix + name, b"")


async def names(t: STMTransaction, key_prefix: bytes, limit: int | None = None) -> list[bytes]:
    return [kv.key.removeprefix(key_prefix) for kv in await t.get_prefix(key_prefix, limit=limit)]


async def test_a_key_that_was_missing_takes_no_place_in_a_limit(
    kv: KVClient, key_prefix: bytes
) -> None:
    await put_all(kv, key_prefix, b"2", b"3", b"4", b"5")

    async def body(t: STMTransaction) -> list[bytes]:
        assert await t.get_many([key_prefix + b"0", key_prefix + b"1"]) == [None, None]
        await put_all(kv, key_prefix, b"0", b"1")
        return await names(t, key_prefix, 2)

    result = await kv.stm(body, isolation="repeatable_reads")
    assert result.value == [b"2", b"3"]


async def test_a_key_of_the_body_does_not_replace_one_that_was_not_read(
    kv: KVClient, key_prefix: bytes
) -> None:
    await put_all(kv, key_prefix, b"2", b"3", b"4")
    found: list[list[bytes]] = []

    async def body(t: STMTransaction) -> None:
        missing = await t.get(key_prefix + b"1")
        if t.attempt == 1:
            assert missing is None
            await kv.put(key_prefix + b"1", b"")
        t.put(key_prefix + b"9", b"")
        found.append(await names(t, key_prefix, 2))

    result = await kv.stm(body, isolation="repeatable_reads")
    assert result.attempts == 2
    assert found == [[b"2", b"3"], [b"1", b"2"]]


async def test_deleted_and_missing_keys_are_left_out_together(
    kv: KVClient, key_prefix: bytes
) -> None:
    await put_all(kv, key_prefix, b"2", b"3", b"5", b"6", b"7")

    found: list[list[bytes]] = []

    async def body(t: STMTransaction) -> None:
        for name in (b"1", b"4"):
            assert await t.get(key_prefix + name) is None
        await put_all(kv, key_prefix, b"1", b"4")
        t.delete(key_prefix + b"2")
        t.delete_range(key_prefix + b"5", key_prefix + b"6")
        found.extend([await names(t, key_prefix, limit) for limit in (1, 2, 3, 4) * 2])
        raise LookupError  # instead of a commit, which would conflict

    with pytest.raises(LookupError):
        await kv.stm(body, isolation="repeatable_reads")
    every = [b"3", b"6", b"7"]
    assert found == [every[:1], every[:2], every, every] * 2


@pytest.mark.parametrize("isolation", ["serializable", "read_committed"])
async def test_the_other_levels_read_no_more_than_the_limit(
    kv: KVClient, key_prefix: bytes, isolation: Isolation
) -> None:
    await put_all(kv, key_prefix, b"2", b"3", b"4")

    async def body(t: STMTransaction) -> list[bytes]:
        assert await t.get(key_prefix + b"1") is None
        await kv.put(key_prefix + b"1", b"")
        return await names(t, key_prefix, 2)

    expected = [b"2", b"3"] if isolation == "serializable" else [b"1", b"2"]
    assert (await kv.stm(body, isolation=isolation)).value == expected
