"""Items of `put_many` with and without a lease that are sent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from etcd_kv import BulkError, KVClient, PutMany


async def test_items_without_a_lease_keep_none_beside_a_common_lease(
    kv: KVClient, key_prefix: bytes, grant_lease: Callable[[], Awaitable[int]]
) -> None:
    common, own = await grant_lease(), await grant_lease()
    temporary, forever, zero, other, bad = (key_prefix + b"%d" % n for n in range(5))
    pairs: list[Any] = [
        (temporary, b""),
        (forever, b"", None),
        (zero, b"", 0),
        (other, b"", own),
        (bad, b"", 4711),
    ]
    result = PutMany()
    with pytest.raises(BulkError):
        await kv.put_many(pairs, common, result=result)
    (part,) = result.not_done
    assert part.items == [
        (temporary, b"", common),
        (forever, b"", None),
        (zero, b"", None),
        (other, b"", own),
        (bad, b"", 4711),
    ]
    await kv.put_many(part.items[:-1], common)
    found = await kv.get_many([temporary, forever, zero, other])
    assert [item and item.lease for item in found] == [common, 0, 0, own]


async def test_the_pieces_of_a_transaction_that_is_too_large_keep_it_too(
    kv: KVClient, key_prefix: bytes, grant_lease: Callable[[], Awaitable[int]]
) -> None:
    result = PutMany()
    pairs: list[Any] = [(key_prefix + b"%03d" % n, b"", None) for n in range(299)]
    pairs.insert(0, (key_prefix + b"bad", b"", 4711))
    with pytest.raises(BulkError):
        await kv.put_many(pairs, await grant_lease(), max_txn_ops=300, result=result)
    assert len(result.not_done) > 1
    assert [item for part in result.not_done for item in part.items] == pairs


async def test_without_a_common_lease_an_item_has_only_a_key_and_a_value(
    kv: KVClient, key_prefix: bytes
) -> None:
    pairs: list[Any] = [(key_prefix + b"1", b"", None), (key_prefix + b"2", b"", 4711)]
    with pytest.raises(BulkError) as caught:
        await kv.put_many(pairs)
    (part,) = caught.value.result.not_done
    assert part.items == [(key_prefix + b"1", b""), (key_prefix + b"2", b"", 4711)]
