"""Transactions on a real server: what holds, what is done, and what comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from etcd_channel import KeyValue
from etcd_channel.errors import (
    DuplicateKeyError,
    FutureRevisionError,
    InvalidArgumentError,
    LeaseNotFoundError,
    TooManyOperationsError,
)
from etcd_kv import Compare, Get, KVClient, TransactionResult, Transactions

GrantLease = Callable[[], Awaitable[int]]
words = Transactions()


async def holds(kv: KVClient, *compares: Compare) -> bool:
    return (await kv.transaction(compares)).succeeded


async def test_success_is_carried_out_where_all_compares_hold(
    kv: KVClient, key_prefix: bytes
) -> None:
    """The documented example."""
    key = key_prefix
    await kv.put(key, b"value")
    compare = [kv.transactions.value(key) == b"value", kv.transactions.version(key) > 0]
    success = [kv.transactions.put(key, b"success")]
    failure = [kv.transactions.put(key, b"failure")]
    first = await kv.transaction(compare=compare, success=success, failure=failure)
    assert first.succeeded
    got = await kv.get(key)
    assert got is not None
    assert got.value == b"success"
    second = await kv.transaction(compare=compare, success=success, failure=failure)
    assert not second.succeeded
    got = await kv.get(key)
    assert got is not None
    assert got.value == b"failure"


async def test_the_result_is_a_pair(kv: KVClient, key_prefix: bytes) -> None:
    result = await kv.transaction([], [words.put(key_prefix, b"v")])
    assert isinstance(result, TransactionResult)
    succeeded, responses = result
    assert succeeded is True
    assert len(responses) == 1
    got = await kv.get(key_prefix)
    assert got is not None
    assert got.mod_revision == result.header.revision


async def test_the_response_to_a_get_is_a_list_of_pairs(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put(key_prefix + b"a", b"1")
    await kv.put(key_prefix + b"b", b"2")
    _, responses = await kv.transaction(
        [],
        [
            words.get(key_prefix + b"a"),
            words.get(key_prefix, key_prefix + b"\xff"),
            words.get(key_prefix + b"none"),
        ],
    )
    one, both, none = responses
    assert isinstance(one, list)
    ((value, got),) = one
    assert value == got.value == b"1"
    assert isinstance(got, Get)
    assert got.key == key_prefix + b"a"
    assert got.header.revision >= got.mod_revision
    assert isinstance(both, list)
    assert [(value, got.key[-1:]) for value, got in both] == [(b"1", b"a"), (b"2", b"b")]
    assert none == []


async def test_the_responses_to_writes_are_objects_as_documented(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix + b"a", b"1")
    await kv.put(key_prefix + b"b", b"2")
    result: Any = await kv.transaction(
        [],
        [
            words.put(key_prefix + b"a", b"one", prev_kv=True),
            words.delete(key_prefix + b"b", prev_kv=True),
            words.txn([], [words.put(key_prefix + b"c", b"3")]),
        ],
    )
    put, deleted, nested = result.responses
    revision = result.header.revision
    assert put.response_put.header.revision == revision
    assert KeyValue(put.response_put.prev_kv).value == b"1"
    assert deleted.response_delete_range.deleted == 1
    assert deleted.response_delete_range.prev_kvs[0].value == b"2"
    assert nested.response_txn.succeeded
    assert nested.response_txn.responses[0].response_put.header.revision == revision


async def test_everything_is_done_at_one_revision(kv: KVClient, key_prefix: bytes) -> None:
    await kv.transaction([], [words.put(key_prefix + name, b"") for name in (b"a", b"b", b"c")])
    result = await kv.get_prefix(key_prefix)
    assert len({one.mod_revision for one in result}) == 1
    assert len(result) == 3


async def test_reads_see_the_writes_before_them(kv: KVClient, key_prefix: bytes) -> None:
    _, (before, _, after) = await kv.transaction(
        [], [words.get(key_prefix), words.put(key_prefix, b"v"), words.get(key_prefix)]
    )
    assert before == []
    assert isinstance(after, list)
    assert [value for value, _ in after] == [b"v"]


async def test_strings_are_taken_for_their_utf_8(kv: KVClient, key_prefix: bytes) -> None:
    key = key_prefix.decode() + "ключ"
    await kv.transaction([words.version(key) == 0], [words.put(key, "значение")])
    got = await kv.get(key.encode())
    assert got is not None
    assert got.value == "значение".encode()
    assert await holds(kv, words.value(key) == "значение")


async def test_none_stands_for_no_compares_and_nothing_to_do(
    kv: KVClient, key_prefix: bytes
) -> None:
    assert await kv.transaction(None) == (True, [])
    assert await kv.transaction([], None, None) == (True, [])
    assert await kv.transaction([], success=[words.get(key_prefix)]) == (True, [[]])
    assert await kv.transaction([words.version(key_prefix) > 0], [words.get(key_prefix)]) == (
        False,
        [],
    )
    assert await kv.transaction(
        [words.version(key_prefix) > 0], failure=[words.get(key_prefix)]
    ) == (False, [[]])


@pytest.mark.parametrize(
    ("compare", "true_for"),
    [
        (lambda other: words.value(b"%s") == other, "="),
        (lambda other: words.value(b"%s") != other, "<>"),
        (lambda other: words.value(b"%s") < other, "<"),
        (lambda other: words.value(b"%s") > other, ">"),
    ],
    ids=["==", "!=", "<", ">"],
)
async def test_values_are_compared_byte_by_byte(
    kv: KVClient, key_prefix: bytes, compare: Callable[[bytes], Compare], true_for: str
) -> None:
    await kv.put(key_prefix, b"b")
    for other, relation in ((b"a", ">"), (b"b", "="), (b"b\0", "<"), (b"\xff", "<"), (b"", ">")):
        condition = compare(other)
        condition.message.key = key_prefix
        assert await holds(kv, condition) == (relation in true_for), (other, relation)


async def test_numbers_are_compared(kv: KVClient, key_prefix: bytes) -> None:
    created = (await kv.put(key_prefix, b"")).header.revision
    changed = (await kv.put(key_prefix, b"")).header.revision
    for target, number in (
        (words.version(key_prefix), 2),
        (words.create(key_prefix), created),
        (words.mod(key_prefix), changed),
    ):
        assert await holds(kv, target == number, target > number - 1, target < number + 1)
        assert await holds(kv, target != number - 1, target != number + 1)
        for false in (target == number + 1, target != number, target > number, target < number):
            assert not await holds(kv, false), false


async def test_leases_are_compared(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    await kv.put(key_prefix, b"", lease)
    assert await holds(kv, words.lease(key_prefix) == lease)
    assert not await holds(kv, words.lease(key_prefix) == lease + 1)
    assert await holds(kv, words.lease(key_prefix + b"none") == 0)


async def test_a_key_that_is_not_there_has_zeros_and_no_value(
    kv: KVClient, key_prefix: bytes
) -> None:
    assert await holds(
        kv,
        words.version(key_prefix) == 0,
        words.create(key_prefix) == 0,
        words.mod(key_prefix) == 0,
    )
    assert not await holds(kv, words.value(key_prefix) == b"")


async def test_a_compare_over_a_range_holds_where_it_holds_for_every_key(
    kv: KVClient, key_prefix: bytes
) -> None:
    first = (await kv.put(key_prefix + b"a", b"1")).header.revision
    last = (await kv.put(key_prefix + b"b", b"2")).header.revision
    ends = key_prefix, key_prefix + b"\xff"
    assert await holds(kv, words.mod(*ends) < last + 1, words.version(*ends) == 1)
    assert not await holds(kv, words.mod(*ends) < last)
    assert not await holds(kv, words.mod(*ends) > first)
    assert await holds(kv, words.value(*ends) > b"0", words.create(*ends) > first - 1)
    assert not await holds(kv, words.value(*ends) == b"1")


async def test_a_nested_transaction_decides_for_itself(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put(key_prefix, b"v")
    result: Any = await kv.transaction(
        [words.version(key_prefix) > 0],
        [
            words.txn(
                compare=[words.version(key_prefix) > 5],
                success=[words.put(key_prefix, b"inner success")],
                failure=[
                    words.txn([], [words.put(key_prefix, b"innermost"), words.get(key_prefix)])
                ],
            )
        ],
    )
    inner = result.responses[0].response_txn
    assert not inner.succeeded
    innermost = inner.responses[0].response_txn
    assert innermost.succeeded
    assert innermost.responses[1].response_range.kvs[0].value == b"innermost"


async def test_operations_have_all_that_the_calls_have(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    for name in (b"a", b"b", b"c", b"\xff\0", b"\xff\1"):
        await kv.put(key_prefix + name, b"value", lease)
    ends = key_prefix, key_prefix + b"\xff"
    result: Any = await kv.transaction(
        [],
        [
            words.get(*ends, sort_order="descend", limit=1, keys_only=True),
            words.put(key_prefix + b"a", b"new", ignore_lease=True),
            words.put(key_prefix + b"b", b"", ignore_value=True),
            words.get(*ends, serializable=True),
            words.get(*ends, count_only=True),
            words.delete(key_prefix + b"\xff", key_prefix + b"\xff\xff", prev_kv=True),
        ],
    )
    last, _, _, all_three, counted, deleted = result.responses
    assert [(value, got.key[-1:]) for value, got in last] == [(b"", b"c")]
    assert [(value, got.lease) for value, got in all_three] == [
        (b"new", lease),
        (b"value", 0),
        (b"value", lease),
    ]
    assert counted == []
    assert deleted.response_delete_range.deleted == 2
    assert deleted.response_delete_range.prev_kvs[1].key == key_prefix + b"\xff\1"


async def test_a_transaction_reads_history(kv: KVClient, key_prefix: bytes) -> None:
    old = (await kv.put(key_prefix, b"old")).header.revision
    await kv.put(key_prefix, b"new")
    _, (then, now) = await kv.transaction(
        [], [words.get(key_prefix, revision=old), words.get(key_prefix)]
    )
    assert isinstance(then, list)
    assert isinstance(now, list)
    assert [value for value, _ in then + now] == [b"old", b"new"]
    with pytest.raises(FutureRevisionError):
        await kv.transaction([], [words.get(key_prefix, revision=old + 1_000_000)])


async def test_as_many_operations_as_the_server_takes_and_no_more(
    kv: KVClient, key_prefix: bytes
) -> None:
    puts = [words.put(key_prefix + b"%d" % number, b"") for number in range(129)]
    with pytest.raises(TooManyOperationsError, match="too many operations") as caught:
        await kv.transaction([], puts)
    assert isinstance(caught.value, InvalidArgumentError)
    assert caught.value.definite
    assert not await kv.get_prefix(key_prefix)
    with pytest.raises(TooManyOperationsError):
        await kv.transaction([], failure=puts)
    with pytest.raises(TooManyOperationsError):
        await kv.transaction([words.version(key_prefix) == 0] * 129)
    result = await kv.transaction([], puts[:128])
    assert len(result.responses) == 128


async def test_no_key_is_modified_twice(kv: KVClient, key_prefix: bytes) -> None:
    put = words.put(key_prefix, b"")
    for twice in (
        [put, put],
        [put, words.delete(key_prefix)],
        [put, words.delete(key_prefix, key_prefix + b"\xff")],
        [put, words.txn([], [put])],
    ):
        with pytest.raises(DuplicateKeyError, match="duplicate key") as caught:
            await kv.transaction([], twice)
        assert isinstance(caught.value, InvalidArgumentError)
        assert caught.value.definite
    # Where only one of them can come to pass it may stand in both.
    assert (await kv.transaction([], [put], [put])).succeeded


async def test_nothing_is_done_where_one_operation_is_refused(
    kv: KVClient, key_prefix: bytes
) -> None:
    with pytest.raises(LeaseNotFoundError):
        await kv.transaction(
            [],
            [
                words.put(key_prefix + b"a", b""),
                words.put(key_prefix + b"b", b"", lease=0x7FFF_FFFF_FFFF_0001),
            ],
        )
    assert not await kv.get_prefix(key_prefix)
