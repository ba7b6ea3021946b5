"""A namespace gives the same results as a plain client with keys that begin with the prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_channel import KeyValue, prefix_range_end
from etcd_client import Client, ClientError, KeyspaceClient, Operation

# Few keys that are close to each other, so that operations meet.
keys = st.sampled_from([b"\0", b"\0\0", b"a", b"a\0", b"a\xff", b"b", b"ba", b"\xff", b"\xff\xff"])
ends = st.one_of(st.just(b"\0"), st.none(), keys)
prefixes = st.sampled_from([b"", b"a", b"a\xff", b"b", b"\xff", b"\0"])
values = st.binary(max_size=2)


class Side:
    """A client with the translation of keys that its caller has to do."""

    def __init__(self, client: KeyspaceClient, prefix: bytes) -> None:
        self.client = client
        self.prefix = prefix
        # Revisions of the two sides are numbered in the order in which they are first seen.
        self.revisions: dict[int, int] = {0: 0}

    def key(self, key: bytes) -> bytes:
        return self.prefix + key

    def end(self, end: bytes | None) -> bytes | None:
        if end is None or not self.prefix:
            return end
        return prefix_range_end(self.prefix) if end == b"\0" else self.prefix + end

    def shown(self, kv: KeyValue | None) -> Any:
        if kv is None:
            return None
        assert kv.key.startswith(self.prefix)
        revisions = (self.revision(kv.create_revision), self.revision(kv.mod_revision))
        return kv.key[len(self.prefix) :], kv.value, kv.version, *revisions

    def revision(self, number: int) -> int:
        return self.revisions.setdefault(number, len(self.revisions))


# A step is a function of a side; its result must be the same on both sides.


def put(key: bytes, value: bytes) -> Any:
    async def step(side: Side) -> Any:
        done = await side.client.put(side.key(key), value, prev_kv=True)
        return side.revision(done.header.revision), side.shown(done.prev_kv)

    return step


def get(key: bytes) -> Any:
    async def step(side: Side) -> Any:
        return side.shown(await side.client.get(side.key(key)))

    return step


def get_range(key: bytes, end: bytes | None, order: Any, target: Any, limit: int) -> Any:
    async def step(side: Side) -> Any:
        found = await side.client.get_range(
            side.key(key), side.end(end), order, target, limit=limit
        )
        return [side.shown(kv) for kv in found], found.count, found.more

    return step


def get_prefix(prefix: bytes) -> Any:
    async def step(side: Side) -> Any:
        found = await side.client.get_prefix(side.key(prefix))
        # The plain client also finds the key that is the prefix, if there is one.
        return [side.shown(kv) for kv in found]

    return step


def scan(key: bytes, end: bytes, after: bytes | None, reverse: bool, size: int) -> Any:
    async def step(side: Side) -> Any:
        found = side.client.scan_range(
            side.key(key),
            side.end(end) or b"",
            start_after=None if after is None else side.key(after),
            reverse=reverse,
            page_size=size,
        )
        return [side.shown(kv) async for kv in found]

    return step


def delete_range(key: bytes, end: bytes | None) -> Any:
    async def step(side: Side) -> Any:
        done = await side.client.delete_range(side.key(key), side.end(end), prev_kv=True)
        return done.deleted, [side.shown(kv) for kv in done.prev_kvs]

    return step


def transaction(compares: Any, success: Any, failure: Any) -> Any:
    async def step(side: Side) -> Any:
        result = await side.client.transaction(
            *([make(side) for make in part] for part in (compares, success, failure))
        )
        return txn_result(side, result)

    return step


def txn_result(side: Side, result: Any) -> Any:
    return (
        result.succeeded,
        [[side.shown(kv) for kv in each.kvs] for each in result.gets],
        [side.shown(each.prev_kv) for each in result.puts],
        [(each.deleted, [*map(side.shown, each.prev_kvs)]) for each in result.deletes],
        [txn_result(side, each) for each in result.txns],
    )


def of_value(key: bytes, end: bytes | None, value: bytes) -> Callable[[Side], Any]:
    return lambda side: side.client.transactions.value(side.key(key), side.end(end)) == value


def of_version(key: bytes, end: bytes | None, version: int) -> Callable[[Side], Any]:
    return lambda side: side.client.transactions.version(side.key(key), side.end(end)) > version


def op_put(key: bytes, value: bytes) -> Callable[[Side], Operation]:
    return lambda side: side.client.transactions.put(side.key(key), value, prev_kv=True)


def op_get(key: bytes, end: bytes | None) -> Callable[[Side], Operation]:
    return lambda side: side.client.transactions.get(side.key(key), side.end(end))


def op_delete(key: bytes, end: bytes | None) -> Callable[[Side], Operation]:
    return lambda side: side.client.transactions.delete(side.key(key), side.end(end), prev_kv=True)


def op_txn(compares: Any, success: Any, failure: Any) -> Callable[[Side], Operation]:
    return lambda side: side.client.transactions.txn(
        *([make(side) for make in part] for part in (compares, success, failure))
    )


async def outcome(step: Any, side: Side) -> Any:
    try:
        return await step(side)
    except ClientError as error:
        return type(error), error.message
    except ValueError as error:  # such as the end of a compare below its start
        return type(error)


compares = st.lists(
    st.one_of(
        st.builds(of_value, keys, ends, values),
        st.builds(of_version, keys, ends, st.integers(0, 2)),
    ),
    max_size=2,
)
simple = st.one_of(
    st.builds(op_put, keys, values), st.builds(op_get, keys, ends), st.builds(op_delete, keys, ends)
)
several = st.lists(simple, max_size=2)
operations = st.lists(st.one_of(simple, st.builds(op_txn, compares, several, several)), max_size=3)
steps = st.one_of(
    st.builds(put, keys, values),
    st.builds(get, keys),
    st.builds(
        get_range,
        keys,
        ends,
        st.sampled_from([None, "ascend", "descend"]),
        st.sampled_from(["key", "version", "create", "mod", "value"]),
        st.integers(0, 3),
    ),
    st.builds(get_prefix, prefixes),
    st.builds(scan, keys, keys, st.one_of(st.none(), keys), st.booleans(), st.integers(1, 3)),
    st.builds(delete_range, keys, ends),
    st.builds(transaction, compares, operations, operations),
)


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=st.lists(steps, min_size=1, max_size=12), tail=st.sampled_from([b"/", b"\xff"]))
def test_a_namespace_is_a_store_of_its_own(
    etcd_endpoint: str, key_prefix: bytes, program: list[Any], tail: bytes
) -> None:
    async def work() -> None:
        async with Client(endpoints=etcd_endpoint) as client:
            await client.delete_prefix(key_prefix)
            for name in (b"", b"m", b"n", b"n" + tail[:-1] + b"\0", b"q"):
                await client.put(key_prefix + name, b"outside")
            outside = await client.get_prefix(key_prefix)
            plain_prefix, inside_prefix = key_prefix + b"p" + tail, key_prefix + b"n" + tail
            plain = Side(client, plain_prefix)
            inside = Side(client.namespace(inside_prefix), b"")
            for step in program:
                assert await outcome(step, plain) == await outcome(step, inside)
            # The keys of the two sides are the same, and all others are as they were.
            found = await client.get_prefix(key_prefix)
            mine = [kv.key for kv in found if kv.key.startswith(inside_prefix)]
            twin = [kv.key for kv in found if kv.key.startswith(plain_prefix)]
            assert [key[len(inside_prefix) :] for key in mine] == [
                key[len(plain_prefix) :] for key in twin
            ]
            assert [kv for kv in found if kv.key not in {*mine, *twin}] == [*outside]
            await client.delete_prefix(key_prefix)

    asyncio.run(work())
