"""The language of transactions: what is built of its words, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_channel.arguments import INT64_MAX
from etcd_kv import Compare, KVClient, Operation, Transactions
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.transactions import txn_request

words = Transactions()
keys = st.binary(min_size=1, max_size=8)
numbers = st.integers(min_value=0, max_value=INT64_MAX)

OPERATORS: list[tuple[Callable[[Any, Any], Compare], pb.Compare.CompareResult, str]] = [
    (lambda target, other: target == other, pb.Compare.EQUAL, "=="),
    (lambda target, other: target != other, pb.Compare.NOT_EQUAL, "!="),
    (lambda target, other: target < other, pb.Compare.LESS, "<"),
    (lambda target, other: target > other, pb.Compare.GREATER, ">"),
]
NUMBERED: list[tuple[Callable[..., Any], pb.Compare.CompareTarget, str]] = [
    (words.version, pb.Compare.VERSION, "version"),
    (words.create, pb.Compare.CREATE, "create_revision"),
    (words.mod, pb.Compare.MOD, "mod_revision"),
    (words.lease, pb.Compare.LEASE, "lease"),
]


class HeldLease:
    id = 7


@pytest.mark.parametrize(("operator", "result", "sign"), OPERATORS)
@given(key=keys, value=st.binary())
def test_a_value_is_compared_by_every_operator(
    operator: Callable[[Any, Any], Compare],
    result: pb.Compare.CompareResult,
    sign: str,
    key: bytes,
    value: bytes,
) -> None:
    compare = operator(words.value(key), value)
    assert compare.message == pb.Compare(
        target=pb.Compare.VALUE, result=result, key=key, value=value
    )
    # Which of the union is set counts, also where the value is empty.
    assert compare.message.WhichOneof("target_union") == "value"
    assert repr(compare) == f"value({key!r}) {sign} {value!r}"


@pytest.mark.parametrize(("operator", "result", "sign"), OPERATORS)
@pytest.mark.parametrize(("target", "sent", "field"), NUMBERED)
@given(key=keys, number=numbers)
def test_a_number_is_compared_by_every_operator(
    operator: Callable[[Any, Any], Compare],
    result: pb.Compare.CompareResult,
    sign: str,
    target: Callable[..., Any],
    sent: pb.Compare.CompareTarget,
    field: str,
    key: bytes,
    number: int,
) -> None:
    compare = operator(target(key), number)
    expected = pb.Compare(target=sent, result=result, key=key)
    setattr(expected, field, number)
    assert compare.message == expected
    assert compare.message.WhichOneof("target_union") == field
    assert repr(compare).endswith(f"({key!r}) {sign} {number}")


def test_the_operand_may_stand_on_the_left() -> None:
    assert (7 < words.version(b"k")).message == (words.version(b"k") > 7).message  # noqa: SIM300
    value: Any = b"v"
    assert (value == words.value(b"k")).message == (words.value(b"k") == value).message


def test_a_compare_may_look_at_a_range() -> None:
    compare = words.mod(b"a", b"b") < 7
    assert compare.message == pb.Compare(
        target=pb.Compare.MOD,
        result=pb.Compare.LESS,
        key=b"a",
        range_end=b"b",
        mod_revision=7,
    )
    assert repr(compare) == "mod(b'a', b'b') < 7"


def test_a_lease_is_compared_by_its_id_or_by_what_has_one() -> None:
    assert (words.lease(b"k") == HeldLease()).message == (words.lease(b"k") == 7).message


def test_strings_are_encoded_in_utf_8() -> None:
    assert (words.value("ключ") == "значение").message == (
        words.value("ключ".encode()) == "значение".encode()
    ).message
    assert words.put("k", "v").message == words.put(b"k", b"v").message
    assert words.get("a", "b").message == words.get(b"a", b"b").message
    assert words.delete("a", "b").message == words.delete(b"a", b"b").message


def test_a_target_without_an_operator_says_so() -> None:
    assert repr(words.value(b"k")) == "Value(b'k') without an operator"


def test_a_put_has_all_that_the_call_has() -> None:
    assert words.put(b"k", b"v", 7, True).message == pb.RequestOp(
        request_put=pb.PutRequest(key=b"k", value=b"v", lease=7, prev_kv=True)
    )
    assert words.put(b"k", b"v", lease=HeldLease()).message.request_put.lease == 7
    assert words.put(b"k", b"", ignore_value=True).message.request_put.ignore_value
    assert words.put(b"k", b"v", ignore_lease=True).message.request_put.ignore_lease


def test_a_get_has_all_that_the_calls_have() -> None:
    assert words.get(b"k").message == pb.RequestOp(request_range=pb.RangeRequest(key=b"k"))
    everything = words.get(
        b"a",
        b"b",
        sort_order="descend",
        sort_target="mod",
        limit=1,
        revision=2,
        keys_only=True,
        count_only=True,
        serializable=True,
        min_mod_revision=3,
        max_mod_revision=4,
        min_create_revision=5,
        max_create_revision=6,
    )
    assert everything.message == pb.RequestOp(
        request_range=pb.RangeRequest(
            key=b"a",
            range_end=b"b",
            sort_order=pb.RangeRequest.DESCEND,
            sort_target=pb.RangeRequest.MOD,
            limit=1,
            revision=2,
            keys_only=True,
            count_only=True,
            serializable=True,
            min_mod_revision=3,
            max_mod_revision=4,
            min_create_revision=5,
            max_create_revision=6,
        )
    )


def test_a_delete_has_all_that_the_calls_have() -> None:
    assert words.delete(b"a", b"b", True).message == pb.RequestOp(
        request_delete_range=pb.DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True)
    )
    assert words.delete(b"a").message == pb.RequestOp(
        request_delete_range=pb.DeleteRangeRequest(key=b"a")
    )


def test_transactions_nest() -> None:
    inner = words.txn([words.version(b"k") == 0], [words.put(b"k", b"v")], [words.get(b"k")])
    outer = words.txn(compare=[], success=[inner])
    assert outer.message.request_txn.success[0].request_txn == txn_request(
        [words.version(b"k") == 0], [words.put(b"k", b"v")], [words.get(b"k")]
    )


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (words.put(b"k", b"v"), "Put"),
        (words.get(b"k"), "Get"),
        (words.delete(b"k"), "Delete"),
        (words.txn([]), "Txn"),
    ],
)
def test_an_operation_is_readable(operation: Operation, name: str) -> None:
    assert repr(operation).startswith(f"{name}(")


def test_lists_may_be_any_iterables_or_none() -> None:
    def operations() -> Any:
        yield words.put(b"k", b"v")

    assert txn_request((), operations(), None) == pb.TxnRequest(
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"k", value=b"v"))]
    )
    assert txn_request(None) == pb.TxnRequest()


def test_compares_and_operations_can_be_used_again() -> None:
    compare, put = words.version(b"k") > 0, words.put(b"k", b"v")
    assert txn_request([compare], [put]) == txn_request([compare, compare][:1], [put])


def test_the_words_are_the_same_on_the_class_and_on_a_client() -> None:
    assert isinstance(KVClient.transactions, Transactions)
    assert KVClient.transactions.put is words.put
