"""Results: truth values, sequences, repr, equality, copies and pickles."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from etcd_channel import KeyValue, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_kv import (
    Delete,
    DeleteRange,
    Get,
    GetRange,
    OperationResponse,
    Put,
    TransactionResult,
)
from etcd_kv.pb import kv_pb2 as pb

HEADER = common_pb2.ResponseHeader(cluster_id=11, member_id=12, revision=13, raft_term=14)


def message(number: int) -> common_pb2.KeyValue:
    return common_pb2.KeyValue(
        key=b"key%d" % number,
        value=b"value%d" % number,
        create_revision=2,
        mod_revision=3,
        version=4,
        lease=5,
    )


def get_range(size: int = 5, *, more: bool = False, count: int | None = None) -> GetRange:
    kvs = [message(number) for number in range(size)]
    return GetRange(HEADER, kvs, more, size if count is None else count)


def delete_range(size: int = 5, *, deleted: int | None = None) -> DeleteRange:
    kvs = [message(number) for number in range(size)]
    return DeleteRange(HEADER, size if deleted is None else deleted, kvs)


def transaction(succeeded: bool = True) -> TransactionResult:
    response = pb.TxnResponse(header=HEADER, succeeded=succeeded)
    response.responses.add().response_range.kvs.extend([message(0), message(1)])
    response.responses.add().response_put.prev_kv.CopyFrom(message(2))
    response.responses.add().response_delete_range.deleted = 3
    response.responses.add().response_txn.succeeded = True
    return TransactionResult.from_response(HEADER, response)


def test_a_get_has_the_fields_of_the_key_and_the_header() -> None:
    got = Get(HEADER, message(1))
    assert (got.key, got.value) == (b"key1", b"value1")
    assert (got.create_revision, got.mod_revision, got.version, got.lease) == (2, 3, 4, 5)
    assert got.header == ResponseHeader(HEADER)
    assert (got.header.cluster_id, got.header.member_id) == (11, 12)
    assert (got.header.revision, got.header.raft_term) == (13, 14)
    assert isinstance(got, KeyValue)


@pytest.mark.parametrize("make", [get_range, delete_range])
class TestSequenceOfKeys:
    def test_has_a_length(self, make: Callable[..., GetRange | DeleteRange]) -> None:
        assert [len(make(size)) for size in (0, 1, 5)] == [0, 1, 5]

    def test_can_be_iterated_repeatedly(self, make: Callable[..., GetRange | DeleteRange]) -> None:
        result = make(3)
        assert [kv.key for kv in result] == [b"key0", b"key1", b"key2"]
        assert [kv.value for kv in result] == [b"value0", b"value1", b"value2"]
        assert all(type(kv) is KeyValue for kv in result)

    def test_is_indexed_from_both_ends(self, make: Callable[..., GetRange | DeleteRange]) -> None:
        result = make(3)
        assert [result[index].key for index in (0, 2, -1, -3)] == [
            b"key0",
            b"key2",
            b"key2",
            b"key0",
        ]
        for beyond in (3, -4):
            with pytest.raises(IndexError):
                result[beyond]
        with pytest.raises(TypeError):
            result["key0"]  # type: ignore[call-overload]  # that is the mistake

    def test_is_sliced_into_a_list(self, make: Callable[..., GetRange | DeleteRange]) -> None:
        result = make(5)
        assert result[1:3] == [KeyValue(message(1)), KeyValue(message(2))]
        assert [kv.key for kv in result[::-2]] == [b"key4", b"key2", b"key0"]
        assert result[7:] == []

    def test_supports_in(self, make: Callable[..., GetRange | DeleteRange]) -> None:
        result = make(3)
        assert KeyValue(message(1)) in result
        assert KeyValue(message(7)) not in result

    def test_has_a_repr_with_its_first_keys_and_their_number(
        self, make: Callable[..., GetRange | DeleteRange]
    ) -> None:
        assert "key0" in repr(make(1))
        text = repr(make(60_000))
        assert "revision=13" in text
        assert "and 59997 more" in text
        assert len(text) < 1_000

    def test_equals_another_with_the_same_content(
        self, make: Callable[..., GetRange | DeleteRange]
    ) -> None:
        assert make(3) == make(3)
        assert hash(make(3)) == hash(make(3))
        assert make(3) != make(2)
        assert make(0) != []

    @pytest.mark.parametrize(
        "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
    )
    def test_can_be_copied_and_pickled(
        self,
        make: Callable[..., GetRange | DeleteRange],
        again: Callable[[GetRange | DeleteRange], GetRange | DeleteRange],
    ) -> None:
        result = make(3)
        other = again(result)
        assert type(other) is type(result)
        assert other == result
        assert other[-1].value == b"value2"
        assert again(other) == result


def test_a_get_range_is_true_if_its_count_is_not_zero() -> None:
    assert get_range(1)
    assert get_range(0, count=7)
    assert not get_range(0)


def test_a_get_range_has_more_and_the_whole_count() -> None:
    result = get_range(2, more=True, count=7)
    assert (len(result), result.more, result.count) == (2, True, 7)
    assert result != get_range(2, more=False, count=7)
    assert result != get_range(2, more=True, count=8)
    assert repr(result).startswith("GetRange(revision=13, count=7, more=True, kvs=[KeyValue(key=")


def test_a_get_range_has_its_keys_as_kvs() -> None:
    result = get_range(2)
    assert list(result.kvs) == [KeyValue(message(0)), KeyValue(message(1))]
    assert result.kvs[1].value == b"value1"
    assert result.kvs == result[:]


def test_a_delete_range_is_true_if_a_key_was_deleted() -> None:
    assert delete_range(1)
    assert delete_range(0, deleted=7)
    assert not delete_range(0)
    assert delete_range(0, deleted=7) != delete_range(0, deleted=8)
    assert list(delete_range(2).prev_kvs) == [KeyValue(message(0)), KeyValue(message(1))]
    assert repr(delete_range(0, deleted=7)) == "DeleteRange(revision=13, deleted=7, prev_kvs=[])"


@pytest.mark.parametrize(
    ("result", "other", "text"),
    [
        (
            Get(HEADER, message(1)),
            Get(HEADER, message(2)),
            "Get(header=ResponseHeader(cluster_id=11, member_id=12, revision=13, raft_term=14),"
            " key=b'key1', value=b'value1', create_revision=2, mod_revision=3, version=4, lease=5)",
        ),
        (
            Put(HEADER, message(1)),
            Put(HEADER),
            "Put(header=ResponseHeader(cluster_id=11, member_id=12, revision=13, raft_term=14),"
            " prev_kv=KeyValue(key=b'key1', value=b'value1', create_revision=2, mod_revision=3,"
            " version=4, lease=5))",
        ),
        (
            Delete(HEADER, 1),
            Delete(HEADER, 1, message(1)),
            "Delete(header=ResponseHeader(cluster_id=11, member_id=12, revision=13, raft_term=14),"
            " deleted=1, prev_kv=None)",
        ),
    ],
    ids=["Get", "Put", "Delete"],
)
def test_a_result_has_repr_equality_and_pickling_by_its_fields(
    result: object, other: object, text: str
) -> None:
    assert repr(result) == text
    assert result == copy.copy(result) == pickle.loads(pickle.dumps(result))
    assert hash(result) == hash(copy.deepcopy(result))
    assert result != other


def test_a_get_does_not_equal_a_key_value() -> None:
    assert Get(HEADER, message(1)) != KeyValue(message(1))


def test_a_repr_shortens_a_long_value() -> None:
    long = message(1)
    long.value = b"x" * 1_000_000
    assert "(1000000 bytes)" in repr(Get(HEADER, long))
    assert len(repr(Get(HEADER, long))) < 500


def test_a_transaction_result_is_the_documented_pair() -> None:
    succeeded, responses = transaction()
    assert succeeded is True
    got, put, deleted, nested = responses
    assert got == [
        (b"value0", Get(HEADER, message(0))),
        (b"value1", Get(HEADER, message(1))),
    ]
    assert isinstance(put, OperationResponse)
    assert put.response_put.prev_kv.value == b"value2"
    assert isinstance(deleted, OperationResponse)
    assert deleted.response_delete_range.deleted == 3
    assert isinstance(nested, OperationResponse)
    assert nested.response_txn.succeeded


def test_a_transaction_result_has_attributes_besides_the_pair() -> None:
    result = transaction()
    assert result.succeeded is result[0] is True
    assert result.responses is result[1]
    assert result.header == ResponseHeader(HEADER)
    assert transaction(False).succeeded is False


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_transaction_result_can_be_copied_and_pickled(
    again: Callable[[TransactionResult], TransactionResult],
) -> None:
    result = transaction()
    other = again(result)
    assert type(other) is TransactionResult
    assert other == result
    assert other.header == result.header
    assert other.responses[1] == result.responses[1]
    assert again(other) == result


def test_a_transaction_result_has_a_repr() -> None:
    text = repr(transaction())
    assert text.startswith("TransactionResult(succeeded=True, revision=13, responses=[[(b'value0',")
