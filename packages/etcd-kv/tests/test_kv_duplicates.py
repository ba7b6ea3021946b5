"""`duplicate_key` finds a key exactly if the server refuses the transaction."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_channel import errors
from etcd_kv import KVClient, Transactions
from etcd_kv._duplicates import duplicate_key
from etcd_kv.transactions import txn_request

t = Transactions()


def put(key: bytes) -> Any:
    return t.put(key, b"v")


def nested(success: list[Any], failure: list[Any] | None = None) -> Any:
    return t.txn([], success, failure)


# Success, failure, and the key that one of them modifies twice.
TRANSACTIONS: dict[str, tuple[list[Any], list[Any], bytes | None]] = {
    "none": ([put(b"a"), put(b"b")], [], None),
    "in both branches": ([put(b"a")], [put(b"a")], None),
    "two puts": ([put(b"a"), put(b"b"), put(b"b")], [], b"b"),
    "two puts in failure": ([put(b"a")], [put(b"c"), put(b"c")], b"c"),
    "put, then deletion": ([put(b"a"), t.delete(b"a")], [], b"a"),
    "deletion, then put": ([t.delete(b"a"), put(b"a")], [], b"a"),
    "deletion of another key": ([t.delete(b"a"), put(b"b")], [], None),
    "two deletions": ([t.delete(b"a"), t.delete(b"a")], [], None),
    "deletion of a range": ([put(b"b"), t.delete(b"a", b"c")], [], b"b"),
    "end of the range": ([put(b"c"), t.delete(b"a", b"c")], [], None),
    "start of the range": ([put(b"a"), t.delete(b"a", b"c")], [], b"a"),
    "range of all later keys": ([put(b"z"), t.delete(b"a", b"\0")], [], None),
    "read of a put key": ([put(b"a"), t.get(b"a")], [], None),
    "nested put": ([put(b"a"), nested([put(b"a")])], [], b"a"),
    "nested put first": ([nested([put(b"a")]), put(b"a")], [], b"a"),
    "nested failure": ([put(b"a"), nested([], [put(b"a")])], [], b"a"),
    "nested, both branches": ([nested([put(b"a")], [put(b"a")])], [], None),
    "nested within itself": ([nested([put(b"a"), put(b"a")])], [], b"a"),
    "nested deletion": ([put(b"a"), nested([t.delete(b"a")])], [], b"a"),
    "nested deletion of its own": ([nested([put(b"a"), t.delete(b"a", b"b")])], [], b"a"),
    "two nested": ([nested([put(b"a")]), nested([put(b"a")])], [], b"a"),
    "two nested, other keys": ([nested([put(b"a")]), nested([put(b"b")])], [], None),
    "nested twice": ([put(b"a"), nested([nested([put(b"a")])])], [], b"a"),
    "put in one, deletion in the other": ([nested([put(b"a")], [t.delete(b"a")])], [], None),
    "put after a nested deletion": ([nested([t.delete(b"a")]), nested([put(b"a")])], [], b"a"),
    "put before a nested deletion": ([nested([put(b"a")]), nested([t.delete(b"a")])], [], None),
}


@pytest.mark.parametrize("case", TRANSACTIONS.values(), ids=TRANSACTIONS)
async def test_the_duplicate_key_is_found_if_the_server_refuses_the_transaction(
    kv: KVClient, case: tuple[list[Any], list[Any], bytes | None]
) -> None:
    success, failure, key = case
    assert duplicate_key(txn_request([], success, failure)) == key
    if key is None:
        await kv.transaction([], success, failure)
        return
    with pytest.raises(errors.DuplicateKeyError) as caught:
        await kv.transaction([], success, failure)
    assert caught.value.key == key
    assert repr(key) in str(caught.value)
    assert caught.value.definite
