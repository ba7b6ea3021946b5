"""Transactions on a real server: compares, operations and results."""

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
from etcd_kv import (
    Compare,
    Get,
    KVClient,
    OperationResponse,
    TransactionResult,
    Transactions,
)

GrantLease = Callable[[], Awaitable[int]]
txn = Transactions()


async def holds(kv: KVClient, *compares: Compare) -> bool:
    return (await kv.transaction(compares)).succeeded


async def test_success_is_executed_if_all_compares_are_true(
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
    result = await kv.transaction([], [txn.put(key_prefix, b"v")])
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
            txn.get(key_prefix + b"a"),
            txn.get(key_prefix, key_prefix + b"\xff"),
            txn.get(key_prefix + b"none"),
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
            txn.put(key_prefix + b"a", b"one", prev_kv=True),
            txn.delete(key_prefix + b"b", prev_kv=True),
            txn.txn([], [txn.put(key_prefix + b"c", b"3")]),
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


async def test_the_results_are_grouped_by_kind_of_operation(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix + b"a", b"1")
    await kv.put(key_prefix + b"b", b"2")
    result = await kv.transaction(
        [txn.value(key_prefix + b"a") == b"1"],
        [
            txn.get(key_prefix + b"a"),
            txn.put(key_prefix + b"a", b"one", prev_kv=True),
            txn.get(key_prefix, key_prefix + b"\xff", count_only=True),
            txn.put(key_prefix + b"c", b"3"),
            txn.delete(key_prefix + b"b", prev_kv=True),
            txn.get(key_prefix, key_prefix + b"\xff", limit=1, sort_order="descend"),
        ],
        [txn.delete(key_prefix + b"a")],
    )
    assert result.succeeded
    one, counted, last = result.gets
    assert [kv.value for kv in one] == [b"1"]
    assert (len(counted), counted.count, bool(counted)) == (0, 2, True)
    assert (last[0].value, last.count, last.more) == (b"3", 2, True)
    changed, created = result.puts
    assert changed.prev_kv is not None
    assert changed.prev_kv.value == b"1"
    assert created.prev_kv is None
    (deleted,) = result.deletes
    assert (deleted.deleted, deleted[0].value) == (1, b"2")
    assert result.txns == []
    found = await kv.get(key_prefix + b"a")
    assert found is not None
    assert result.revision == found.mod_revision == changed.header.revision
    assert one.header == created.header == deleted.header == result.header


async def test_the_results_are_those_of_the_branch_that_was_executed(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix, b"there")
    result = await kv.transaction(
        [txn.version(key_prefix) == 0], [txn.put(key_prefix, b"new")], [txn.get(key_prefix)]
    )
    assert not result.succeeded
    assert result.puts == []
    assert result.gets[0][0].value == b"there"


async def test_a_nested_transaction_has_its_own_results(kv: KVClient, key_prefix: bytes) -> None:
    inner = txn.txn(
        [txn.version(key_prefix) == 0],
        [txn.put(key_prefix, b"new"), txn.txn([], [txn.get(key_prefix)])],
        [txn.delete(key_prefix)],
    )
    result = await kv.transaction([], [inner, txn.get(key_prefix)])
    (nested,) = result.txns
    assert nested.succeeded
    assert nested.puts[0].header == nested.header == result.header
    assert nested.txns[0].gets[0][0].value == b"new"
    assert result.puts == []
    assert result.gets[0][0].value == b"new"
    again = await kv.transaction([], [inner])
    assert not again.txns[0].succeeded
    assert again.txns[0].deletes[0].deleted == 1


async def test_a_response_has_which_one_of_and_has_field(kv: KVClient, key_prefix: bytes) -> None:
    """aetcd returns protobuf messages, so programs written for it may call these methods."""
    _, responses = await kv.transaction(
        [], [txn.put(key_prefix, b"v"), txn.delete(key_prefix + b"none"), txn.txn([], [])]
    )
    put, deleted, nested = responses
    kinds = ("response_put", "response_delete_range", "response_txn")
    for response, kind in zip((put, deleted, nested), kinds, strict=True):
        assert isinstance(response, OperationResponse)
        assert response.WhichOneof("response") == kind
        assert [name for name in kinds if response.HasField(name)] == [kind]
        with pytest.raises(ValueError, match="name must be one of response_range, response_put"):
            response.HasField("response_get")
    assert isinstance(put, OperationResponse)
    assert not put.response_put.HasField("prev_kv")
    assert put.response_put.prev_kv.value == b""
    assert put.response_delete_range.deleted == 0
    assert not put.response_txn.responses
    assert not put.response_range.kvs


async def test_all_operations_have_one_revision(kv: KVClient, key_prefix: bytes) -> None:
    await kv.transaction([], [txn.put(key_prefix + name, b"") for name in (b"a", b"b", b"c")])
    result = await kv.get_prefix(key_prefix)
    assert len({one.mod_revision for one in result}) == 1
    assert len(result) == 3


async def test_reads_see_the_writes_before_them(kv: KVClient, key_prefix: bytes) -> None:
    _, (before, _, after) = await kv.transaction(
        [], [txn.get(key_prefix), txn.put(key_prefix, b"v"), txn.get(key_prefix)]
    )
    assert before == []
    assert isinstance(after, list)
    assert [value for value, _ in after] == [b"v"]


async def test_strings_are_encoded_in_utf_8(kv: KVClient, key_prefix: bytes) -> None:
    key = key_prefix.decode() + "ключ"
    await kv.transaction([txn.version(key) == 0], [txn.put(key, "значение")])
    got = await kv.get(key.encode())
    assert got is not None
    assert got.value == "значение".encode()
    assert await holds(kv, txn.value(key) == "значение")


async def test_none_means_no_compares_and_no_operations(kv: KVClient, key_prefix: bytes) -> None:
    assert await kv.transaction(None) == (True, [])
    assert await kv.transaction([], None, None) == (True, [])
    assert await kv.transaction([], success=[txn.get(key_prefix)]) == (True, [[]])
    assert await kv.transaction([txn.version(key_prefix) > 0], [txn.get(key_prefix)]) == (
        False,
        [],
    )
    assert await kv.transaction([txn.version(key_prefix) > 0], failure=[txn.get(key_prefix)]) == (
        False,
        [[]],
    )


@pytest.mark.parametrize(
    ("compare", "true_for"),
    [
        (lambda key, other: txn.value(key) == other, "="),
        (lambda key, other: txn.value(key) != other, "<>"),
        (lambda key, other: txn.value(key) < other, "<"),
        (lambda key, other: txn.value(key) > other, ">"),
    ],
    ids=["==", "!=", "<", ">"],
)
async def test_values_are_compared_byte_by_byte(
    kv: KVClient, key_prefix: bytes, compare: Callable[[bytes, bytes], Compare], true_for: str
) -> None:
    await kv.put(key_prefix, b"b")
    for other, relation in ((b"a", ">"), (b"b", "="), (b"b\0", "<"), (b"\xff", "<"), (b"", ">")):
        condition = compare(key_prefix, other)
        assert await holds(kv, condition) == (relation in true_for), (other, relation)


async def test_numbers_are_compared(kv: KVClient, key_prefix: bytes) -> None:
    created = (await kv.put(key_prefix, b"")).header.revision
    changed = (await kv.put(key_prefix, b"")).header.revision
    for target, number in (
        (txn.version(key_prefix), 2),
        (txn.create(key_prefix), created),
        (txn.mod(key_prefix), changed),
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
    assert await holds(kv, txn.lease(key_prefix) == lease)
    assert not await holds(kv, txn.lease(key_prefix) == lease + 1)
    assert await holds(kv, txn.lease(key_prefix + b"none") == 0)


async def test_a_missing_key_compares_as_zeros_and_without_a_value(
    kv: KVClient, key_prefix: bytes
) -> None:
    assert await holds(
        kv,
        txn.version(key_prefix) == 0,
        txn.create(key_prefix) == 0,
        txn.mod(key_prefix) == 0,
    )
    assert not await holds(kv, txn.value(key_prefix) == b"")


async def test_a_compare_of_a_range_is_true_if_it_is_true_for_every_key(
    kv: KVClient, key_prefix: bytes
) -> None:
    first = (await kv.put(key_prefix + b"a", b"1")).header.revision
    last = (await kv.put(key_prefix + b"b", b"2")).header.revision
    ends = key_prefix, key_prefix + b"\xff"
    assert await holds(kv, txn.mod(*ends) < last + 1, txn.version(*ends) == 1)
    assert not await holds(kv, txn.mod(*ends) < last)
    assert not await holds(kv, txn.mod(*ends) > first)
    assert await holds(kv, txn.value(*ends) > b"0", txn.create(*ends) > first - 1)
    assert not await holds(kv, txn.value(*ends) == b"1")


async def test_a_nested_transaction_has_its_own_compares(kv: KVClient, key_prefix: bytes) -> None:
    await kv.put(key_prefix, b"v")
    result: Any = await kv.transaction(
        [txn.version(key_prefix) > 0],
        [
            txn.txn(
                compare=[txn.version(key_prefix) > 5],
                success=[txn.put(key_prefix, b"inner success")],
                failure=[txn.txn([], [txn.put(key_prefix, b"innermost"), txn.get(key_prefix)])],
            )
        ],
    )
    inner = result.responses[0].response_txn
    assert not inner.succeeded
    innermost = inner.responses[0].response_txn
    assert innermost.succeeded
    assert innermost.responses[1].response_range.kvs[0].value == b"innermost"


async def test_operations_take_the_arguments_of_the_calls(
    kv: KVClient, key_prefix: bytes, grant_lease: GrantLease
) -> None:
    lease = await grant_lease()
    for name in (b"a", b"b", b"c", b"\xff\0", b"\xff\1"):
        await kv.put(key_prefix + name, b"value", lease)
    ends = key_prefix, key_prefix + b"\xff"
    result: Any = await kv.transaction(
        [],
        [
            txn.get(*ends, sort_order="descend", limit=1, keys_only=True),
            txn.put(key_prefix + b"a", b"new", ignore_lease=True),
            txn.put(key_prefix + b"b", b"", ignore_value=True),
            txn.get(*ends, serializable=True),
            txn.get(*ends, count_only=True),
            txn.delete(key_prefix + b"\xff", key_prefix + b"\xff\xff", prev_kv=True),
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


async def test_a_transaction_reads_at_an_older_revision(kv: KVClient, key_prefix: bytes) -> None:
    old = (await kv.put(key_prefix, b"old")).header.revision
    await kv.put(key_prefix, b"new")
    _, (then, now) = await kv.transaction(
        [], [txn.get(key_prefix, revision=old), txn.get(key_prefix)]
    )
    assert isinstance(then, list)
    assert isinstance(now, list)
    assert [value for value, _ in then + now] == [b"old", b"new"]
    with pytest.raises(FutureRevisionError):
        await kv.transaction([], [txn.get(key_prefix, revision=old + 1_000_000)])


async def test_a_transaction_may_have_128_operations_and_no_more(
    kv: KVClient, key_prefix: bytes
) -> None:
    puts = [txn.put(key_prefix + b"%d" % number, b"") for number in range(129)]
    with pytest.raises(TooManyOperationsError, match="too many operations") as caught:
        await kv.transaction([], puts)
    assert isinstance(caught.value, InvalidArgumentError)
    assert caught.value.definite
    assert not await kv.get_prefix(key_prefix)
    with pytest.raises(TooManyOperationsError):
        await kv.transaction([], failure=puts)
    with pytest.raises(TooManyOperationsError):
        await kv.transaction([txn.version(key_prefix) == 0] * 129)
    result = await kv.transaction([], puts[:128])
    assert len(result.responses) == 128


async def test_a_transaction_cannot_modify_a_key_twice(kv: KVClient, key_prefix: bytes) -> None:
    put = txn.put(key_prefix, b"")
    for twice in (
        [put, put],
        [put, txn.delete(key_prefix)],
        [put, txn.delete(key_prefix, key_prefix + b"\xff")],
        [put, txn.txn([], [put])],
    ):
        with pytest.raises(DuplicateKeyError, match="duplicate key") as caught:
            await kv.transaction([], twice)
        assert isinstance(caught.value, InvalidArgumentError)
        assert caught.value.definite
    # Both branches may put the same key, because only one is executed.
    assert (await kv.transaction([], [put], [put])).succeeded


async def test_nothing_is_executed_if_one_operation_is_refused(
    kv: KVClient, key_prefix: bytes
) -> None:
    with pytest.raises(LeaseNotFoundError):
        await kv.transaction(
            [],
            [
                txn.put(key_prefix + b"a", b""),
                txn.put(key_prefix + b"b", b"", lease=0x7FFF_FFFF_FFFF_0001),
            ],
        )
    assert not await kv.get_prefix(key_prefix)
