"""A typical program for the reference: it uses only the documented API.

python old_program.py HOST PORT PREFIX prints the results, without values that differ between runs.
It runs on the reference and on this client.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from typing import Any

import aetcd
import aetcd.client
import aetcd.exceptions
import aetcd.locks
import aetcd.rtypes
import aetcd.utils

Line = tuple[Any, ...]


async def keys_and_values(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    key = prefix + b"key"
    put = await client.put(key, b"value")
    seen.append(("put", put.prev_kv, put.header.revision > 0))
    put = await client.put(key, b"again", prev_kv=True)
    seen.append(("put again", put.prev_kv.value, put.prev_kv.version))
    got = await client.get(key)
    seen.append(("get", got.value, got.version, got.lease, got.mod_revision > got.create_revision))
    got = await client.get(key, serializable=True)
    seen.append(("get serializable", got.value))
    seen.append(("get nothing", await client.get(prefix + b"nothing")))
    seen.append(("replace", await client.replace(key, b"again", b"replaced")))
    seen.append(("replace in vain", await client.replace(key, b"again", b"in vain")))
    deleted = await client.delete(key, prev_kv=True)
    seen.append(("delete", deleted.deleted, deleted.prev_kv.value))
    seen.append(("delete nothing", await client.delete(key)))
    return seen


async def ranges(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    for name in (b"b", b"a", b"c"):
        await client.put(prefix + name, b"value of " + name)

    def shown(result: Any) -> list[tuple[bytes, bytes]]:
        return [(kv.key[len(prefix) :], kv.value) for kv in result]

    result = await client.get_prefix(prefix)
    seen.append(("prefix", shown(result), result.count, result.more, len(result), bool(result)))
    seen.append(("index", result[0].value, result[-1].value))
    seen.append(("raw", [kv.value for kv in result.kvs]))
    result = await client.get_prefix(prefix, sort_order="descend", sort_target="create")
    seen.append(("sorted", shown(result)))
    result = await client.get_prefix(prefix, sort_order="ascend", keys_only=True)
    seen.append(("keys only", shown(result)))
    result = await client.get_range(prefix + b"a", prefix + b"c")
    seen.append(("range", shown(result)))
    result = await client.get_prefix(prefix + b"nothing")
    seen.append(("nothing", shown(result), bool(result)))
    everything = await client.get_all()
    seen.append(("all", {prefix + b"a", prefix + b"c"} <= {kv.key for kv in everything}))
    deleted = await client.delete_range(prefix + b"a", prefix + b"b", prev_kv=True)
    seen.append(("delete range", deleted.deleted, shown(deleted)))
    deleted = await client.delete_prefix(prefix)
    seen.append(("delete prefix", deleted.deleted, len(deleted), bool(deleted)))
    deleted = await client.delete_prefix(prefix)
    seen.append(("delete nothing", deleted.deleted, bool(deleted)))
    return seen


async def transactions(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    key, other = prefix + b"key", prefix + b"other"
    await client.put(key, b"value")
    words = client.transactions
    for _ in range(2):
        succeeded, responses = await client.transaction(
            compare=[
                words.value(key) == b"value",
                words.version(key) > 0,
                words.create(key) != 0,
                words.mod(key) > 0,
                # Everything that int() accepts is a number.
                words.create(key) != b"0",
                words.version(key) > "0",
                words.mod(key) > -1,
            ],
            success=[
                words.put(key, b"success", prev_kv=True),
                words.put(other, b"as bytes"),
                words.get(other),
            ],
            failure=[words.get(key), words.delete(other, prev_kv=True)],
        )
        seen.append(("transaction", succeeded, [shape(response) for response in responses]))
    succeeded, responses = await client.transaction(
        [words.version(other) == 0],
        [words.txn([words.value(key) == b"success"], [words.get(key)], [words.put(other, b"")])],
        [],
    )
    nested = responses[0].response_txn
    seen.append(("nested", succeeded, nested.succeeded, len(nested.responses)))
    try:
        await client.transaction([words.value(key)], [], [])
    except ValueError:
        seen.append(("compare without an operator", "ValueError"))
    return seen


def shape(response: Any) -> Any:
    """The contents of a transaction's response, as documented."""
    if isinstance(response, list):
        return [(value, kv.version) for value, kv in response]
    if response.HasField("response_put"):
        return "put", response.response_put.prev_kv.value
    return "delete", [kv.value for kv in response.response_delete_range.prev_kvs]


async def leases(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    lease = await client.lease(600)
    await client.put(prefix + b"key", b"value", lease=lease)
    await client.put(prefix + b"by id", b"value", lease=lease.id)
    seen.append(("lease", lease.ttl, aetcd.utils.lease_to_id(lease) == lease.id))
    seen.append(("granted", await lease.granted_ttl(), await lease.remaining_ttl() > 0))
    seen.append(("keys", sorted(key[len(prefix) :] for key in await lease.keys())))
    await lease.refresh()
    try:
        await client.lease(600, lease_id=lease.id)
    except aetcd.exceptions.DuplicateLeaseError as error:
        seen.append(("duplicate", isinstance(error, aetcd.exceptions.ClientError)))
    await lease.revoke()
    seen.append(("revoked", bool(await client.get_prefix(prefix))))
    lease = await client.lease(600)
    await client.revoke_lease(lease.id)
    return seen


async def watches(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    revision = (await client.put(prefix + b"a", b"1")).header.revision
    await client.put(prefix + b"a", b"2")
    await client.delete(prefix + b"a")
    watch = await client.watch(prefix + b"a", start_revision=revision, prev_kv=True)
    async for event in watch:
        before = event.prev_kv.value if event.kv.version != 1 else None
        seen.append(("event", event.kind == "PUT", event.kv.value, event.kv.version, before))
        if event.kind == aetcd.rtypes.EventKind.DELETE:
            break
    await watch.cancel()
    event = await client.watch_prefix_once(prefix, timeout=10, start_revision=revision)
    seen.append(("once", event.kind == aetcd.rtypes.EventKind.PUT, event.kv.value))
    try:
        await client.watch_once(prefix + b"never", timeout=1)
    except aetcd.exceptions.WatchTimeoutError:
        seen.append(("nothing happened",))
    try:
        await client.watch_once(prefix + b"never", timeout=0)
    except aetcd.exceptions.WatchTimeoutError:
        seen.append(("nothing happened",))
    return seen


async def locks(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    async with client.lock(prefix + b"lock", ttl=60) as lock:
        seen.append(("held", await lock.is_acquired(), isinstance(lock, aetcd.locks.Lock)))
        other = client.lock(prefix + b"lock")
        seen.append(("held by another", await other.acquire(timeout=0)))
    seen.append(("released", await lock.is_acquired()))
    return seen


async def cluster(client: Any, prefix: bytes) -> list[Line]:
    seen: list[Line] = []
    status = await client.status()
    seen.append(("status", status.db_size > 0, status.raft_term > 0))
    revision = (await client.put(prefix, b"")).header.revision
    await client.compact(revision)
    try:
        watch = await client.watch(prefix, start_revision=1)
        async for _ in watch:
            break
    except aetcd.exceptions.RevisionCompactedError as error:
        seen.append(("compacted", error.compacted_revision == revision))
    await client.defragment()
    seen.append(("hash", isinstance(await client.hash(), int)))
    file = io.BytesIO()
    await client.snapshot(file)
    seen.append(("snapshot", file.tell() > 0))
    return seen


async def errors(host: str) -> list[Line]:
    client = aetcd.Client(host, 1, timeout=1)
    try:
        await client.get(b"key")
    except aetcd.exceptions.ConnectionFailedError:
        return [("nobody there", "ConnectionFailedError")]
    finally:
        await client.close()
    return []


def helpers() -> Iterator[Line]:
    yield "to_bytes", aetcd.utils.to_bytes("key"), aetcd.utils.to_bytes(b"key")
    yield "prefix_range_end", aetcd.utils.prefix_range_end(b"ab")
    yield "lease_to_id", aetcd.utils.lease_to_id(7)


async def main(host: str, port: str, prefix: str) -> None:
    seen: list[Line] = list(helpers())
    async with aetcd.Client(host=host, port=int(port), timeout=30) as client:
        for part in (keys_and_values, ranges, transactions, leases, watches, locks, cluster):
            seen += await part(client, f"{prefix}{part.__name__}/".encode())
    client = aetcd.client.Client(host, int(port))
    await client.connect()
    await client.put(b"key", b"value")
    await client.close()
    seen += await errors(host)
    for line in seen:
        sys.stdout.write(f"{line!r}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
