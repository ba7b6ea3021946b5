"""Results that a program's own tests construct are equal to received ones."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from etcd_channel import KeyValue, ResponseHeader
from etcd_kv import (
    Delete,
    DeleteRange,
    Get,
    GetRange,
    KVClient,
    OperationResponse,
    Put,
    TransactionResult,
    Transactions,
)

txn = Transactions()


def by_hand(received: KeyValue) -> KeyValue:
    fields = {name: getattr(received, name) for name in KeyValue._fields}
    return KeyValue(**fields)


def assert_same(made: object, received: object) -> None:
    assert made == received
    assert received == made
    assert repr(made) == repr(received)
    assert pickle.loads(pickle.dumps(made)) == pickle.loads(pickle.dumps(received)) == made


async def test_a_constructed_get_and_get_range_equal_received_ones(
    kv: KVClient, key_prefix: bytes
) -> None:
    revision = (await kv.put(key_prefix + b"a", b"1")).header.revision
    await kv.put(key_prefix + b"b", b"2")
    got = await kv.get(key_prefix + b"a")
    assert got is not None
    one = KeyValue(
        key=key_prefix + b"a",
        value=b"1",
        create_revision=revision,
        mod_revision=revision,
        version=1,
    )
    assert_same(Get(got.header, one), got)
    assert hash(Get(got.header, one)) == hash(got)
    found = await kv.get_prefix(key_prefix)
    assert_same(GetRange(found.header, [one, by_hand(found[1])], False, 2), found)
    assert GetRange(found.header, [one], False, 2) != found
    assert found.kvs == [one, by_hand(found[1])]


async def test_the_constructed_results_of_writes_equal_received_ones(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix, b"1")
    put = await kv.put(key_prefix, b"2", prev_kv=True)
    assert put.prev_kv is not None
    assert_same(Put(put.header, by_hand(put.prev_kv)), put)
    deleted = await kv.delete(key_prefix, prev_kv=True)
    assert deleted is not None
    assert deleted.prev_kv is not None
    assert_same(Delete(deleted.header, 1, by_hand(deleted.prev_kv)), deleted)
    await kv.put(key_prefix, b"3")
    gone = await kv.delete_prefix(key_prefix, prev_kv=True)
    assert_same(DeleteRange(gone.header, 1, [by_hand(gone[0])]), gone)


async def test_a_constructed_transaction_result_equals_a_received_one(
    kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix, b"1")
    received = await kv.transaction(
        [],
        [
            txn.get(key_prefix),
            txn.put(key_prefix + b"b", b"2", prev_kv=True),
            txn.txn([], [txn.get(key_prefix)], []),
            txn.delete(key_prefix + b"none"),
        ],
    )
    header = received.header
    one = by_hand(received.gets[0][0])
    made = TransactionResult(
        True,
        [
            GetRange(header, [one], False, 1),
            Put(header),
            TransactionResult(True, [GetRange(header, [one], False, 1)], header),
            DeleteRange(header, 0, []),
        ],
        header,
    )
    assert_same(made, received)
    assert made.revision == received.revision
    assert (made.gets, made.puts) == (received.gets, received.puts)
    assert (made.deletes, made.txns) == (received.deletes, received.txns)
    assert made.responses[0] == [(b"1", Get(header, one))]
    assert isinstance(made.responses[2], OperationResponse)
    assert made.responses[2].response_txn.responses[0].response_range == made.gets[0]


def test_the_defaults_of_a_constructed_result_are_empty() -> None:
    one = KeyValue(key=b"k")
    assert Get(key=b"k", value=b"v").value == b"v"
    assert Get(key=b"k").header == ResponseHeader()
    found = GetRange(kvs=[one])
    assert (list(found), found.count, found.more, bool(found)) == ([one], 1, False, True)
    assert not GetRange()
    assert Put().prev_kv is None
    assert (Delete().deleted, Delete().prev_kv) == (1, None)
    assert (DeleteRange(prev_kvs=[one]).deleted, DeleteRange(deleted=3).deleted) == (1, 3)
    assert not DeleteRange()
    assert TransactionResult() == (True, [])
    assert TransactionResult(False, header=ResponseHeader(revision=7)).revision == 7


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "text"),
    [
        (Get, {}, TypeError, "key is missing"),
        (Get, {"key": "k"}, TypeError, "key must be bytes, not str"),
        (GetRange, {"kvs": [b"k"]}, TypeError, "keyvalue must be a KeyValue, not bytes"),
        (GetRange, {"count": -1}, ValueError, "count must be at least 0"),
        (Delete, {"deleted": "1"}, TypeError, "deleted must be an int"),
        (TransactionResult, {"succeeded": [Put()]}, TypeError, "succeeded must be a bool"),
        (TransactionResult, {"results": [Get(key=b"k")]}, TypeError, "results must hold GetRange"),
    ],
)
def test_an_invalid_argument_is_named(
    kind: Any, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        kind(**arguments)
