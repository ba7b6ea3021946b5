"""Responses larger than gRPC's default limit of 4 MiB."""

from __future__ import annotations

import asyncio

from etcd_kv import KVClient

KEYS = 60_000
VALUE = b"v" * 100


async def test_a_response_of_sixty_thousand_keys_is_received(
    kv: KVClient, key_prefix: bytes
) -> None:
    # A batch is as large as a transaction may be; a few concurrent ones keep the test short.
    batches = [range(start, min(start + 128, KEYS)) for start in range(0, KEYS, 128)]
    busy = asyncio.Semaphore(8)

    async def write(batch: range) -> None:
        async with busy:
            puts = [kv.transactions.put(key_prefix + b"%06d" % number, VALUE) for number in batch]
            await kv.transaction([], puts, timeout=120)

    await asyncio.gather(*map(write, batches))

    result = await kv.get_prefix(key_prefix, timeout=120)

    assert (len(result), result.count, result.more) == (KEYS, KEYS, False)
    assert sum(len(one.key) + len(one.value) for one in result) > 4 << 20
    for number, one in enumerate(result):
        assert (one.key, one.value) == (key_prefix + b"%06d" % number, VALUE)
    assert result[-1].key == key_prefix + b"059999"
    assert [one.key for one in result[30_000:30_002]] == [
        key_prefix + b"030000",
        key_prefix + b"030001",
    ]

    deleted = await kv.delete_prefix(key_prefix, prev_kv=True, timeout=120)

    assert (deleted.deleted, len(deleted)) == (KEYS, KEYS)
    assert deleted[12_345].value == VALUE
