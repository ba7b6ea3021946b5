"""The messages that the transaction builder makes of compares and operations, without a server."""

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

txn = Transactions()
keys = st.binary(min_size=1, max_size=8)
numbers = st.integers(min_value=0, max_value=INT64_MAX)

OPERATORS: list[tuple[Callable[[Any, Any], Compare], pb.Compare.CompareResult, str]] = [
    (lambda target, other: target == other, pb.Compare.EQUAL, "=="),
    (lambda target, other: target != other, pb.Compare.NOT_EQUAL, "!="),
    (lambda target, other: target < other, pb.Compare.LESS, "<"),
    (lambda target, other: target > other, pb.Compare.GREATER, ">"),
]
NUMBERED: list[tuple[Callable[..., Any], pb.Compare.CompareTarget, str]] = [
    (txn.version, pb.Compare.VERSION, "version"),
    (txn.create, pb.Compare.CREATE, "create_revision"),
    (txn.mod, pb.Compare.MOD, "mod_revision"),
    (txn.lease, pb.Compare.LEASE, "lease"),
]


class LeaseWithId:
    id = 7


@pytest.mark.parametrize(("operator", "result", "sign"), OPERATORS)
@given(key=keys, value=st.binary())
def test_every_operator_compares_a_value(
    operator: Callable[[Any, Any], Compare],
    result: pb.Compare.CompareResult,
    sign: str,
    key: bytes,
    value: bytes,
) -> None:
    compare = operator(txn.value(key), value)
    assert compare._message == pb.Compare(
        target=pb.Compare.VALUE, result=result, key=key, value=value
    )
    # The field must be set even if the value is empty.
    assert compare._message.WhichOneof("target_union") == "value"
    assert repr(compare) == f"value({key!r}) {sign} {value!r}"


@pytest.mark.parametrize(("operator", "result", "sign"), OPERATORS)
@pytest.mark.parametrize(("target", "sent", "field"), NUMBERED)
@given(key=keys, number=numbers)
def test_every_operator_compares_a_number(
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
    assert compare._message == expected
    assert compare._message.WhichOneof("target_union") == field
    assert repr(compare).endswith(f"({key!r}) {sign} {number}")


def test_the_operand_may_be_on_the_left() -> None:
    assert (7 < txn.version(b"k"))._message == (txn.version(b"k") > 7)._message  # noqa: SIM300
    value: Any = b"v"
    assert (value == txn.value(b"k"))._message == (txn.value(b"k") == value)._message


def test_a_compare_may_have_a_range() -> None:
    compare = txn.mod(b"a", b"b") < 7
    assert compare._message == pb.Compare(
        target=pb.Compare.MOD,
        result=pb.Compare.LESS,
        key=b"a",
        range_end=b"b",
        mod_revision=7,
    )
    assert repr(compare) == "mod(b'a', b'b') < 7"


def test_a_lease_is_compared_with_an_id_or_an_object_with_an_id() -> None:
    assert (txn.lease(b"k") == LeaseWithId())._message == (txn.lease(b"k") == 7)._message


def test_strings_are_encoded_in_utf_8() -> None:
    assert (txn.value("ключ") == "значение")._message == (
        txn.value("ключ".encode()) == "значение".encode()
    )._message
    assert txn.put("k", "v")._message == txn.put(b"k", b"v")._message
    assert txn.get("a", "b")._message == txn.get(b"a", b"b")._message
    assert txn.delete("a", "b")._message == txn.delete(b"a", b"b")._message


def test_the_repr_of_a_target_says_that_the_operator_is_missing() -> None:
    assert repr(txn.value(b"k")) == "Value(b'k') without an operator"


def test_a_put_takes_the_arguments_of_the_call() -> None:
    assert txn.put(b"k", b"v", 7, True)._message == pb.RequestOp(
        request_put=pb.PutRequest(key=b"k", value=b"v", lease=7, prev_kv=True)
    )
    assert txn.put(b"k", b"v", lease=LeaseWithId())._message.request_put.lease == 7
    assert txn.put(b"k", b"", ignore_value=True)._message.request_put.ignore_value
    assert txn.put(b"k", b"v", ignore_lease=True)._message.request_put.ignore_lease


def test_a_get_takes_the_arguments_of_the_calls() -> None:
    assert txn.get(b"k")._message == pb.RequestOp(request_range=pb.RangeRequest(key=b"k"))
    everything = txn.get(
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
    assert everything._message == pb.RequestOp(
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


def test_a_delete_takes_the_arguments_of_the_calls() -> None:
    assert txn.delete(b"a", b"b", True)._message == pb.RequestOp(
        request_delete_range=pb.DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True)
    )
    assert txn.delete(b"a")._message == pb.RequestOp(
        request_delete_range=pb.DeleteRangeRequest(key=b"a")
    )


def test_transactions_can_be_nested() -> None:
    inner = txn.txn([txn.version(b"k") == 0], [txn.put(b"k", b"v")], [txn.get(b"k")])
    outer = txn.txn(compare=[], success=[inner])
    assert outer._message.request_txn.success[0].request_txn == txn_request(
        [txn.version(b"k") == 0], [txn.put(b"k", b"v")], [txn.get(b"k")]
    )


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (txn.put(b"k", b"v"), "Put"),
        (txn.get(b"k"), "Get"),
        (txn.delete(b"k"), "Delete"),
        (txn.txn([]), "Txn"),
    ],
)
def test_an_operation_has_a_repr(operation: Operation, name: str) -> None:
    assert repr(operation).startswith(f"{name}(")


def test_lists_may_be_any_iterables_or_none() -> None:
    def operations() -> Any:
        yield txn.put(b"k", b"v")

    assert txn_request((), operations(), None) == pb.TxnRequest(
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"k", value=b"v"))]
    )
    assert txn_request(None) == pb.TxnRequest()


def test_compares_and_operations_can_be_used_again() -> None:
    compare, put = txn.version(b"k") > 0, txn.put(b"k", b"v")
    assert txn_request([compare], [put]) == txn_request([compare, compare][:1], [put])


def test_transactions_is_an_attribute_of_the_class() -> None:
    assert isinstance(KVClient.transactions, Transactions)
    assert KVClient.transactions.put is txn.put
