"""Transactions that are run again: what the body sees, what is committed, and what is refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kv_support import PATIENT, with_enough_time

from etcd_channel import Channel, KeyValue, ResponseHeader
from etcd_channel.errors import LeaseNotFoundError, RevisionCompactedError, TooManyOperationsError
from etcd_kv import KVClient, STMResult, STMTimeoutError, STMTransaction
from etcd_testing import EtcdServer


async def nothing(t: STMTransaction) -> None:
    pass


def values(found: list[KeyValue]) -> list[tuple[bytes, bytes]]:
    return [(kv.key, kv.value) for kv in found]


async def test_what_the_body_returns_is_returned_with_the_header_of_the_commit(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix + b"from", b"100")

    async def move(t: STMTransaction) -> int:
        source, target = await t.get(key_prefix + b"from"), await t.get(key_prefix + b"to")
        assert source is not None
        assert target is None
        left = int(source.value) - 10
        t.put(key_prefix + b"from", b"%d" % left)
        t.put(key_prefix + b"to", b"10")
        return left

    result = await kv.stm(move)
    assert result.value == 90
    assert result.attempts == 1
    source, target = [await kv.get(key_prefix + end) for end in (b"from", b"to")]
    assert source is not None
    assert target is not None
    assert (source.value, target.value) == (b"90", b"10")
    assert source.mod_revision == target.mod_revision == result.revision == result.header.revision
    assert result.header.member_id


async def test_a_body_that_writes_nothing_has_the_header_of_its_reads(
    kv: KVClient, key_prefix: bytes
) -> None:
    put = await kv.put(key_prefix, b"value")

    async def read(t: STMTransaction) -> bytes | None:
        found = await t.get(key_prefix)
        await kv.put(key_prefix, b"later")
        again = await t.get_prefix(key_prefix)
        assert found is not None
        assert found == again[0]
        return found.value

    result = await kv.stm(read)
    assert result.value == b"value"
    assert put.header.revision <= result.revision
    assert result.attempts == 1
    assert await kv.stm(nothing) == STMResult(None, ResponseHeader(), 1)


async def test_a_conflict_runs_the_body_again_with_what_is_there_now(
    kv: KVClient, key_prefix: bytes
) -> None:
    seen = []

    async def increment(t: STMTransaction) -> None:
        found = await t.get(key_prefix)
        value = 0 if found is None else int(found.value)
        seen.append((t.attempt, value))
        if t.attempt < 4:
            await kv.put(key_prefix, b"%d" % (value + 10))
        t.put(key_prefix, b"%d" % (value + 1))

    result = await kv.stm(increment)
    assert seen == [(1, 0), (2, 10), (3, 20), (4, 30)]
    assert result.attempts == 4
    found = await kv.get(key_prefix)
    assert found is not None
    assert found.value == b"31"


async def test_many_tasks_lose_no_increment(kv: KVClient, key_prefix: bytes) -> None:
    todo = iter(range(320))

    async def work() -> None:
        for number in todo:
            key = key_prefix + b"%d" % (number % 10)

            async def increment(t: STMTransaction, key: bytes = key) -> None:
                found = await t.get(key)
                t.put(key, b"%d" % (1 + int(found.value if found else 0)))

            await kv.stm(increment, timeout=120)

    await asyncio.gather(*(work() for _ in range(64)))
    assert [kv.value for kv in await kv.get_prefix(key_prefix)] == [b"32"] * 10


async def test_reads_see_the_own_writes(kv: KVClient, key_prefix: bytes) -> None:
    for end in (b"a", b"b", b"c"):
        await kv.put(key_prefix + end, b"old")

    async def body(t: STMTransaction) -> None:
        t.put(key_prefix + b"b", b"new")
        t.put(key_prefix + b"d", b"new")
        t.delete(key_prefix + b"a")
        assert await t.get(key_prefix + b"a") is None
        assert await t.get(key_prefix + b"b") == KeyValue(key=key_prefix + b"b", value=b"new")
        expected = [
            (key_prefix + b"b", b"new"),
            (key_prefix + b"c", b"old"),
            (key_prefix + b"d", b"new"),
        ]
        assert values(await t.get_prefix(key_prefix)) == expected
        assert values(await t.get_prefix(key_prefix, limit=2)) == expected[:2]
        assert values(await t.get_range(key_prefix + b"c", key_prefix + b"d")) == expected[1:2]
        assert values(await t.get_range(key_prefix + b"c", None)) == expected[1:2]
        assert values(await t.get_range(key_prefix + b"d", key_prefix + b"a")) == []
        t.delete_prefix(key_prefix)
        t.put(key_prefix + b"c", b"newest")
        assert await t.get(key_prefix + b"d") is None
        assert values(await t.get_prefix(key_prefix)) == [(key_prefix + b"c", b"newest")]

    await kv.stm(body)
    assert values(list(await kv.get_prefix(key_prefix))) == [(key_prefix + b"c", b"newest")]


@pytest.mark.parametrize("seed", range(12))
async def test_any_reads_and_writes_are_those_of_a_dictionary(
    kv: KVClient, key_prefix: bytes, seed: int
) -> None:
    """Random operations in a body give what they give on a dictionary, and so does the commit."""
    chance = random.Random(seed)
    names = [key_prefix + b"%02d" % number for number in range(12)]
    model = dict.fromkeys(chance.sample(names, 6), b"first")
    await kv.put_many(model)

    async def body(t: STMTransaction) -> None:
        for step in range(60):
            key, start, end = (
                chance.choice(names),
                *sorted(chance.sample([*names, key_prefix + b"~"], 2)),
            )
            limit = chance.choice([None, 1, 2, 3])
            match chance.randrange(7):
                case 0 | 1:
                    model[key] = b"%d" % step
                    t.put(key, model[key])
                case 2:
                    model.pop(key, None)
                    t.delete(key)
                case 3 if step % 3 == 0:
                    for gone in [gone for gone in model if start <= gone < end]:
                        del model[gone]
                    t.delete_range(start, end)
                case 4 | 5:
                    found = await t.get(key)
                    assert (found and found.value) == model.get(key)
                case _:
                    there = sorted(item for item in model.items() if start <= item[0] < end)
                    got = await t.get_range(start, end, limit=limit)
                    assert values(got) == there[:limit]

    result = await kv.stm(body)
    assert result.attempts == 1
    assert {kv.key: kv.value for kv in await kv.get_prefix(key_prefix)} == model


async def test_a_deleted_range_takes_what_came_unseen_but_not_what_is_put_afterwards(
    kv: KVClient, key_prefix: bytes
) -> None:
    async def body(t: STMTransaction) -> None:
        t.delete_prefix(key_prefix)
        t.put(key_prefix + b"kept", b"")
        await kv.put(key_prefix + b"came", b"")

    await kv.stm(body)
    assert [kv.key for kv in await kv.get_prefix(key_prefix)] == [key_prefix + b"kept"]


async def test_a_put_attaches_a_lease_and_keeps_the_one_that_was_read(
    kv: KVClient, key_prefix: bytes, grant_lease: Callable[[], Awaitable[int]]
) -> None:
    lease = await grant_lease()

    async def attach(t: STMTransaction) -> None:
        t.put(key_prefix, b"1", lease=lease)
        found = await t.get(key_prefix)
        assert found is not None
        assert found.lease == lease

    async def change(t: STMTransaction) -> None:
        found = await t.get(key_prefix)
        assert found is not None
        t.put(key_prefix, b"2", lease=found.lease)

    async def unknown_lease(t: STMTransaction) -> None:
        t.put(key_prefix, b"3", lease=1)

    await kv.stm(attach)
    await kv.stm(change)
    with pytest.raises(LeaseNotFoundError):
        await kv.stm(unknown_lease)
    found = await kv.get(key_prefix)
    assert found is not None
    assert (found.value, found.lease) == (b"2", lease)


async def test_several_keys_are_read_at_one_revision(kv: KVClient, key_prefix: bytes) -> None:
    keys = [key_prefix + b"%d" % number for number in range(20)]
    await kv.put_many((key, b"old") for key in keys[1:])

    async def body(t: STMTransaction) -> list[KeyValue | None]:
        await t.get(keys[0])
        await kv.put_many((key, b"new") for key in keys)
        return await t.get_many([*keys, keys[1]])

    found = (await kv.stm(body)).value
    assert [kv and kv.value for kv in found] == [None, *[b"old"] * 20]


async def test_prefetched_keys_that_the_body_does_not_read_are_no_conflict(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % number for number in range(3)]

    async def body(t: STMTransaction) -> None:
        found = await t.get(keys[0])
        if t.attempt == 1:
            await kv.put(keys[1], b"")
        t.put(keys[2], b"read" if found else b"missing")

    result = await kv.stm(body, prefetch=keys[:2])
    assert result.attempts == 1


async def test_a_compaction_of_the_reads_revision_runs_the_body_again(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with Channel(private_server.endpoint, **PATIENT) as channel:
        kv = KVClient(channel)
        await kv.put(key_prefix + b"a", b"")

        async def body(t: STMTransaction) -> int:
            await t.get(key_prefix + b"a")
            if t.attempt == 1:
                await kv.compact((await kv.put(key_prefix + b"b", b"")).header.revision)
            await t.get(key_prefix + b"b")
            t.put(key_prefix + b"a", b"")
            return t.attempt

        assert (await kv.stm(body)).value == 2

        async def catches(t: STMTransaction) -> int:
            await t.get(key_prefix + b"a")
            if t.attempt == 1:
                await kv.compact((await kv.put(key_prefix + b"b", b"")).header.revision)
                with pytest.raises(RevisionCompactedError):
                    await t.get(key_prefix + b"b")
            t.put(key_prefix + b"c", b"")
            return t.attempt

        assert (await kv.stm(catches)).value == 2


async def test_an_exception_of_the_body_is_raised_unchanged_and_nothing_is_written(
    kv: KVClient, key_prefix: bytes
) -> None:
    mine = ValueError("of the body")

    async def body(t: STMTransaction) -> None:
        t.put(key_prefix, b"")
        raise mine

    with pytest.raises(ValueError, match="of the body") as caught:
        await kv.stm(body)
    assert caught.value is mine
    assert caught.value.__cause__ is None
    assert await kv.get(key_prefix) is None


async def test_conflicts_end_with_the_timeout(kv: KVClient, key_prefix: bytes) -> None:
    async def conflict(timeout: float) -> None:
        end = asyncio.get_running_loop().time() + timeout

        async def body(t: STMTransaction) -> None:
            found = await t.get(key_prefix)
            await kv.put(key_prefix, b"other")
            t.put(key_prefix, b"mine" if found else b"first")
            # The time is over after the second conflict, and not in a call.
            if t.attempt == 2:
                await asyncio.sleep(end + 0.1 - asyncio.get_running_loop().time())

        with pytest.raises(STMTimeoutError, match="nothing was written") as caught:
            await kv.stm(body, timeout=timeout)
        assert caught.value.definite
        assert caught.value.attempts == 2
        assert isinstance(caught.value, TimeoutError)

    await with_enough_time(conflict, 0.5, 15)
    found = await kv.get(key_prefix)
    assert found is not None
    assert found.value == b"other"


async def test_reads_after_the_timeout_raise(kv: KVClient, key_prefix: bytes) -> None:
    async def body(t: STMTransaction) -> None:
        await asyncio.sleep(0.05)
        await t.get(key_prefix)

    with pytest.raises(STMTimeoutError, match="before a read of the body") as caught:
        await kv.stm(body, timeout=0.01)
    assert caught.value.attempts == 1


@pytest.mark.parametrize("what", ["reads", "writes", "range", "deleted range"])
async def test_too_many_operations_are_refused_before_anything_is_sent(
    unreachable_kv: KVClient, kv: KVClient, key_prefix: bytes, what: str
) -> None:
    keys = [key_prefix + b"%03d" % number for number in range(128)]
    if what == "range":
        await kv.put_many((key, b"") for key in keys)
    mine = unreachable_kv if what in ("writes", "deleted range") else kv

    async def body(t: STMTransaction) -> None:
        match what:
            case "reads":
                await t.get_many([*keys, key_prefix])
            case "range":
                await t.get_prefix(key_prefix)
            case "writes":
                for key in keys:
                    t.put(key, b"")
            case _:
                t.delete_prefix(key_prefix)
                for key in keys:
                    t.put(key, b"")
        t.put(key_prefix + b"one more", b"")

    with pytest.raises(TooManyOperationsError, match=r"129|130|259") as caught:
        await mine.stm(body)
    assert caught.value.definite
    assert "128 (max_txn_ops)" in str(caught.value)
    assert await kv.get(key_prefix + b"one more") is None


async def test_as_many_operations_as_the_server_takes_are_committed(
    kv: KVClient, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%03d" % number for number in range(128)]

    async def body(t: STMTransaction) -> None:
        await t.get_many(keys)
        for key in keys:
            t.put(key, b"%d" % t.attempt)
        if t.attempt == 1:
            await kv.put(keys[0], b"other")

    result = await kv.stm(body, prefetch=keys)
    assert result.attempts == 2
    assert {kv.value for kv in await kv.get_prefix(key_prefix)} == {b"2"}


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"isolation": "snapshot"}, ValueError, "isolation must be one of 'serializable_snap"),
        ({"isolation": None}, ValueError, "isolation must be one of"),
        ({"prefetch": b"key"}, TypeError, "prefetch must be an iterable of keys, not a single"),
        ({"prefetch": [b"a", "b"]}, TypeError, r"prefetch\[1\] must be bytes, not str"),
        ({"prefetch": [b""]}, ValueError, r"prefetch\[0\] must not be empty"),
        ({"max_txn_ops": 0}, ValueError, "max_txn_ops must be at least 1, not 0"),
        ({"timeout": 0}, ValueError, "timeout must be a positive, finite number"),
        ({"body": nothing(None)}, TypeError, "body must be an async function"),  # type: ignore[arg-type]  # the mistake
        ({"body": None}, TypeError, "body must be an async function of a transaction, not NoneT"),
        ({"body": lambda t: 7}, TypeError, "body must be an async function .* returned int"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine 'nothing' was never awaited")
async def test_wrong_arguments_are_refused(
    unreachable_kv: KVClient, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await unreachable_kv.stm(**{"body": nothing, **arguments})


async def test_wrong_arguments_of_the_transaction_are_refused(unreachable_kv: KVClient) -> None:
    async def body(t: STMTransaction) -> None:
        wrong: Any = t
        with pytest.raises(TypeError, match="key must be bytes, not str"):
            await wrong.get("key")
        with pytest.raises(TypeError, match="keys must be an iterable of keys, not a single bytes"):
            await wrong.get_many(b"key")
        with pytest.raises(ValueError, match=r"keys\[1\] must not be empty"):
            await wrong.get_many([b"key", b""])
        with pytest.raises(TypeError, match="key_prefix must be bytes"):
            await wrong.get_prefix("key")
        with pytest.raises(TypeError, match="limit must be an int"):
            await wrong.get_prefix(b"key", limit="1")
        with pytest.raises(TypeError, match="value must be bytes"):
            wrong.put(b"key", "value")
        with pytest.raises(ValueError, match="key must not be empty"):
            wrong.delete(b"")
        with pytest.raises(ValueError, match="range_start must not be empty"):
            wrong.delete_range(b"", b"")

    await unreachable_kv.stm(body)


async def test_a_transaction_is_only_for_its_body(unreachable_kv: KVClient) -> None:
    kept = []

    async def body(t: STMTransaction) -> None:
        kept.append(t)

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="in another task than its body"):
                t.put(b"key", b"")

        await asyncio.create_task(elsewhere())

    await unreachable_kv.stm(body)
    with pytest.raises(RuntimeError, match="after its body had ended"):
        await kept[0].get(b"key")
    with pytest.raises(RuntimeError, match="after its body had ended"):
        kept[0].delete_prefix(b"key")
