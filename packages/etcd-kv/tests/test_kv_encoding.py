"""Transactions whose operations are framed by hand: the builders alone, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_kv._encoding import (
    delete_operation,
    field,
    get_operation,
    key_operation,
    operation_of,
    put_operation,
    transaction_of,
)
from etcd_kv.pb import kv_pb2 as pb

# Around each length at which the encoding of a length becomes longer, or is no longer looked up.
SIZES = [0, 1, 100, *range(110, 130), *range(480, 530), *range(16370, 16390), 1 << 21]


@pytest.mark.parametrize("size", SIZES)
def test_a_transaction_of_encoded_puts_is_that_of_the_puts(size: int) -> None:
    puts = [
        pb.PutRequest(key=b"key", value=b"v" * size),
        pb.PutRequest(key=b"other", lease=-(1 << 63), prev_kv=True),
    ]
    expected = pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts])
    encoded = [put.SerializeToString() for put in puts]
    tag = field(pb.RequestOp.REQUEST_PUT_FIELD_NUMBER)
    assert transaction_of(operation_of(tag, each) for each in encoded) == expected


def test_a_transaction_of_encoded_reads_is_that_of_the_reads() -> None:
    reads = [
        pb.RangeRequest(key=b"key", keys_only=True),
        pb.RangeRequest(),
        pb.RangeRequest(key=b"\0" * 300, serializable=True),
    ]
    expected = pb.TxnRequest(success=[pb.RequestOp(request_range=read) for read in reads])
    encoded = [read.SerializeToString() for read in reads]
    tag = field(pb.RequestOp.REQUEST_RANGE_FIELD_NUMBER)
    assert transaction_of(operation_of(tag, each) for each in encoded) == expected


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("options", [{}, {"revision": 1 << 62, "serializable": True}])
def test_an_operation_on_a_key_is_encoded_around_the_key(size: int, options: Any) -> None:
    key = b"k" * size
    read = pb.RangeRequest(key=key, **options)
    rest = pb.RangeRequest(**options).SerializeToString()
    tag = field(pb.RequestOp.REQUEST_RANGE_FIELD_NUMBER)
    encoded = key_operation(tag, size, len(rest)) + key + rest
    expected = pb.TxnRequest(success=[pb.RequestOp(request_range=read)])
    assert pb.TxnRequest.FromString(encoded) == expected


@pytest.mark.parametrize("size", SIZES)
def test_plain_operations_are_encoded_as_their_messages(size: int) -> None:
    for key, value in ((b"k" * (size or 1), b""), (b"key", b"v" * size), (b"k" * 200, b"v" * size)):
        operations = [
            get_operation(key),
            get_operation(key, serializable=True),
            put_operation(key, value),
            delete_operation(key),
        ]
        expected = pb.TxnRequest(
            success=[
                pb.RequestOp(request_range=pb.RangeRequest(key=key)),
                pb.RequestOp(request_range=pb.RangeRequest(key=key, serializable=True)),
                pb.RequestOp(request_put=pb.PutRequest(key=key, value=value)),
                pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key)),
            ]
        )
        assert transaction_of(operations) == expected
        assert b"".join(operations) == expected.SerializeToString()
