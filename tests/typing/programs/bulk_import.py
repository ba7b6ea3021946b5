"""A bulk import: many keys, in transactions of a hundred, checked by a scan at one revision.

python bulk_import.py ENDPOINT PREFIX
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from etcd_client import Client, ClientError, DeleteRange, ResponseHeader, Status

BATCH = 100
"""The server accepts 128 operations in a transaction."""


def batches(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    rest = iter(pairs)
    while batch := list(islice(rest, BATCH)):
        yield batch


async def write(client: Client, values: Mapping[bytes, bytes]) -> int:
    """Write all pairs; return how many transactions that took."""
    t = client.transactions
    revisions: list[int] = []
    for batch in batches(values.items()):
        result = await client.transaction([], [t.put(key, value) for key, value in batch])
        assert len(result.puts) == len(batch)
        revisions.append(result.revision)
    return len(revisions)


async def differences(client: Client, prefix: bytes, values: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the keys that are not as they should be."""
    missing = dict(values)
    wrong = [
        found.key
        async for found in client.scan_prefix(prefix, page_size=250)
        if missing.pop(found.key, None) != found.value
    ]
    return sorted([*wrong, *missing])


async def describe(client: Client) -> str:
    """Return the versions of the members and the sum of their databases' sizes."""
    statuses: list[Status] = []
    for member in await client.members():
        for url in member.client_urls:
            statuses.append(await client.status(endpoint=url.partition("://")[2]))
            break
    size = sum(status.db_size for status in statuses)
    return f"{len(statuses)} member, {'some' if size > 0 else 'no'} bytes"


async def main(endpoint: str, prefix: bytes) -> None:
    values = {prefix + b"%04d" % number: b"value %d" % number for number in range(1234)}
    async with Client(endpoints=[endpoint]) as client:
        print(await describe(client))
        print(await write(client, values), "transactions")
        print(await differences(client, prefix, values))
        counted = await client.get_prefix(prefix, count_only=True)
        first = await client.get_range(prefix, prefix + b"\xff", "descend", "key", limit=2)
        print(counted.count, len(counted), [kv.value.decode() for kv in first], first.more)
        changed = await client.replace(prefix + b"0007", b"value 7", b"value 8")
        print(changed, await differences(client, prefix, values) == [prefix + b"0007"])
        header: ResponseHeader = await client.compact(counted.header.revision)
        assert header.revision >= counted.header.revision
        try:
            await client.get(prefix + b"0001", revision=1)
        except ClientError as error:
            print(type(error).__name__, error.definite)
        deleted: DeleteRange = await client.delete_prefix(prefix)
        print(deleted.deleted, await client.get(prefix + b"0001"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].encode()))
