"""What each isolation level of a transaction guards against, and what not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, get_args

import pytest

from etcd_kv import Isolation, KVClient, STMTransaction

EVERY = get_args(Isolation)
ONE_REVISION = ("serializable_snapshot", "serializable")
GUARDED = (*ONE_REVISION, "repeatable_reads")


@pytest.mark.parametrize("isolation", EVERY)
async def test_write_skew_is_possible_only_with_read_committed(
    kv: KVClient, key_prefix: bytes, isolation: Isolation
) -> None:
    """Two doctors are on call, and each goes off if the other one is on."""
    one, other = key_prefix + b"one", key_prefix + b"other"
    await kv.put_many({one: b"on", other: b"on"})

    async def leave(mine: bytes, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        async def body(t: STMTransaction) -> None:
            on = [found.value for found in await t.get_many([one, other]) if found]
            if meanwhile is not None and t.attempt == 1:
                await meanwhile()
            if on == [b"on", b"on"]:
                t.put(mine, b"off")

        await kv.stm(body, isolation=isolation)

    await leave(one, lambda: leave(other))
    on = [found.value for found in await kv.get_many([one, other]) if found]
    assert on == ([b"on", b"off"] if isolation in GUARDED else [b"off", b"off"])


@pytest.mark.parametrize("isolation", EVERY)
async def test_phantoms_are_possible_only_below_serializable(
    kv: KVClient, key_prefix: bytes, isolation: Isolation
) -> None:
    """The count of the keys of a range is written, while a key is added to the range."""
    rows, count = key_prefix + b"rows/", key_prefix + b"count"
    await kv.put(rows + b"1", b"")

    async def body(t: STMTransaction) -> None:
        found = await t.get_prefix(rows)
        if t.attempt == 1:
            await kv.put(rows + b"2", b"")
        t.put(count, b"%d" % len(found))

    await kv.stm(body, isolation=isolation)
    counted = await kv.get(count)
    assert counted is not None
    assert counted.value == (b"2" if isolation in ONE_REVISION else b"1")


@pytest.mark.parametrize("isolation", EVERY)
@pytest.mark.parametrize("change", ["change", "delete", "delete and put"])
async def test_changes_of_keys_read_in_a_range_are_noticed(
    kv: KVClient, key_prefix: bytes, isolation: Isolation, change: str
) -> None:
    rows = [key_prefix + b"rows/%d" % number for number in range(3)]
    await kv.put_many((row, b"") for row in rows)

    async def body(t: STMTransaction) -> None:
        await t.get_prefix(key_prefix + b"rows/")
        if t.attempt == 1:
            if change != "change":
                await kv.delete(rows[1])
            if change != "delete":
                await kv.put(rows[1], b"")
        t.put(key_prefix + b"done", b"")

    result = await kv.stm(body, isolation=isolation)
    assert result.attempts == (2 if isolation in GUARDED else 1)


@pytest.mark.parametrize("isolation", ONE_REVISION)
async def test_a_key_that_came_and_went_again_is_no_conflict(
    kv: KVClient, key_prefix: bytes, isolation: Isolation
) -> None:
    async def body(t: STMTransaction) -> None:
        assert await t.get_prefix(key_prefix + b"rows/") == []
        if t.attempt == 1:
            await kv.put(key_prefix + b"rows/1", b"")
            await kv.delete(key_prefix + b"rows/1")
        t.put(key_prefix + b"done", b"")

    assert (await kv.stm(body, isolation=isolation)).attempts == 1


@pytest.mark.parametrize(
    ("changed", "attempts"), [(b"0", 2), (b"1", 2), (b"15", 2), (b"2", 2), (b"25", 1), (b"3", 1)]
)
async def test_a_limited_range_is_guarded_up_to_the_last_key_that_was_read(
    kv: KVClient, key_prefix: bytes, changed: bytes, attempts: int
) -> None:
    rows = key_prefix + b"rows/"
    await kv.put_many((rows + b"%d" % number, b"") for number in range(1, 5))

    async def body(t: STMTransaction) -> None:
        await t.get_prefix(rows, limit=2)
        if t.attempt == 1:
            await kv.put(rows + changed, b"")
        t.put(key_prefix + b"done", b"")

    assert (await kv.stm(body)).attempts == attempts


@pytest.mark.parametrize("isolation", EVERY)
async def test_the_body_sees_one_revision_only_from_serializable_on(
    kv: KVClient, key_prefix: bytes, isolation: Isolation
) -> None:
    one, other = key_prefix + b"one", key_prefix + b"other"
    await kv.put_many({one: b"1", other: b"1"})
    seen = []

    async def body(t: STMTransaction) -> None:
        for key in (one, other, one):
            found = await t.get(key)
            assert found is not None
            seen.append(found.value)
            if key == one and len(seen) == 1:
                await kv.put_many({one: b"2", other: b"2"})

    await kv.stm(body, isolation=isolation)
    assert (
        seen
        == {
            "serializable_snapshot": [b"1", b"1", b"1"],
            "serializable": [b"1", b"1", b"1"],
            "repeatable_reads": [b"1", b"2", b"1"],
            "read_committed": [b"1", b"2", b"2"],
        }[isolation]
    )


async def test_repeatable_reads_keep_a_key_in_a_later_range(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put_many({key_prefix + b"a": b"old", key_prefix + b"b": b"old"})

    async def body(t: STMTransaction) -> None:
        assert await t.get(key_prefix + b"missing") is None
        first = await t.get(key_prefix + b"a")
        await kv.put_many((key_prefix + end, b"new") for end in (b"a", b"b", b"missing"))
        found = await t.get_prefix(key_prefix)
        assert found[0] == first
        assert [kv.value for kv in found] == [b"old", b"new"]
        assert await t.get_prefix(key_prefix) == found

    await kv.stm(body, isolation="repeatable_reads")


@pytest.mark.parametrize("isolation", EVERY)
@pytest.mark.parametrize("ranges", [False, True])
async def test_writes_of_unread_keys_conflict_only_at_serializable_snapshot(
    kv: KVClient, key_prefix: bytes, isolation: Isolation, ranges: bool
) -> None:
    async def body(t: STMTransaction) -> None:
        await t.get(key_prefix + b"read")
        if t.attempt == 1:
            await kv.put(key_prefix + b"rows/1", b"other")
        if ranges:
            t.delete_prefix(key_prefix + b"rows/")
        else:
            t.put(key_prefix + b"rows/1", b"mine")

    result = await kv.stm(body, isolation=isolation)
    assert result.attempts == (2 if isolation == "serializable_snapshot" else 1)


class Step(NamedTuple):
    kind: int
    start: bytes
    end: bytes


Read = tuple[bytes, bytes, dict[bytes, bytes]]


@pytest.mark.parametrize("isolation", ONE_REVISION)
@pytest.mark.parametrize("seed", range(3))
async def test_concurrent_bodies_are_as_if_one_ran_after_the_other(
    kv: KVClient, key_prefix: bytes, isolation: Isolation, seed: int
) -> None:
    """Each body saw the keys as all those with lower revisions of commit had left them."""
    chance = random.Random(seed)
    names = [key_prefix + b"%d" % number for number in range(6)]
    done = []

    async def work(number: int) -> None:
        for turn in range(8):
            plan = [Step(chance.randrange(6), *sorted(chance.sample(names, 2))) for _ in range(4)]
            value = b"%d of %d" % (turn, number)

            async def body(
                t: STMTransaction,
                plan: list[Step] = plan,
                value: bytes = value,
            ) -> tuple[list[Read], dict[bytes, bytes | None]]:
                reads: list[Read] = []
                writes: dict[bytes, bytes | None] = {}
                for kind, start, end in plan:
                    if kind < 2 and start not in writes:
                        found = await t.get(start)
                        seen = {} if found is None else {start: found.value}
                        reads.append((start, start + b"\0", seen))
                    elif kind == 2 and not writes:
                        there = await t.get_range(start, end)
                        reads.append((start, end, {kv.key: kv.value for kv in there}))
                    elif kind < 5:
                        t.put(start, value)
                        writes[start] = value
                    else:
                        t.delete(start)
                        writes[start] = None
                        # A deletion of a key that does not exist would have no revision of its own.
                        t.put(end, value)
                        writes[end] = value
                return reads, writes

            result = await kv.stm(body, isolation=isolation, timeout=120)
            done.append((result.revision, bool(result.value[1]), result.value))

    await asyncio.gather(*(work(number) for number in range(8)))
    state: dict[bytes, bytes] = {}
    # A body that only reads has seen what was written up to its revision, that one included.
    for _, _, (reads, writes) in sorted(done, key=lambda each: (each[0], not each[1])):
        for start, end, seen in reads:
            assert {key: state[key] for key in state if start <= key < end} == seen
        for key, value in writes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
    assert {kv.key: kv.value for kv in await kv.get_prefix(key_prefix)} == state
