"""`Client.namespace`: every service shows the keys with a prefix as if they were all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from namespace_support import HANG, keys

from etcd_channel import Channel, NamespaceView
from etcd_client import (
    Client,
    ClientClosedError,
    KeyspaceClient,
    PermissionKind,
    STMTransaction,
)
from etcd_cluster.pb import maintenance_pb2
from etcd_cluster.rpcs import SNAPSHOT
from etcd_testing.plugin import ServerFactory

# Keys and values ---------------------------------------------------------------------------


async def test_reads_and_writes_stay_in_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    for key in (b"a", b"in", b"in/", b"in0", b"z"):
        await client.put(key_prefix + key, b"outside")
    for key in (b"a", b"b", b"\xff"):
        await inside.put(key, b"of " + key)
    got = await inside.get(b"b")
    assert got is not None
    assert (got.key, got.value) == (b"b", b"of b")
    assert await keys(inside) == [b"a", b"b", b"\xff"]
    assert [kv.key for kv in await inside.get_all("descend")] == [b"\xff", b"b", b"a"]
    assert [kv.key for kv in await inside.get_range(b"b", b"\0")] == [b"b", b"\xff"]
    assert [kv.key for kv in await inside.get_range(b"a", b"b")] == [b"a"]
    assert [kv.key for kv in await inside.get_range(b"a", None)] == [b"a"]
    assert len(await inside.get_range(b"b", b"a")) == 0
    assert (await inside.get_all(count_only=True)).count == 3
    put = await inside.put(b"b", b"new", prev_kv=True)
    assert put.prev_kv is not None
    assert (put.prev_kv.key, put.prev_kv.value) == (b"b", b"of b")
    deleted = await inside.delete(b"b", prev_kv=True)
    assert deleted is not None
    assert deleted.prev_kv is not None
    assert deleted.prev_kv.key == b"b"
    everything = await inside.delete_prefix(b"", prev_kv=True)
    assert [kv.key for kv in everything.prev_kvs] == [b"a", b"\xff"]
    # Also the key that is the prefix itself, which would be the empty key of the namespace.
    left = await client.get_prefix(key_prefix)
    assert [kv.key[len(key_prefix) :] for kv in left] == [b"a", b"in", b"in/", b"in0", b"z"]
    assert {kv.value for kv in left} == {b"outside"}


@pytest.mark.parametrize("prefix", [b"\xff", b"\xff\xff", b"p\xff", b"\0", b"\0\xff"])
async def test_a_prefix_of_the_highest_and_lowest_bytes_is_a_namespace(
    etcd_server_factory: ServerFactory, prefix: bytes
) -> None:
    async with Client(endpoints=etcd_server_factory().endpoint) as client:
        outside = [b"\0", b"\0\xfe", b"o", b"p", b"p\xfe\xff", b"q", b"\xfe", b"\xfe\xff"]
        outside = [key for key in outside if not key.startswith(prefix)]
        for key in outside:
            await client.put(key, b"outside")
        inside = client.namespace(prefix)
        names = [b"\0", b"k", b"\xff", b"\xff\xff"]
        for name in names:
            await inside.put(name, b"inside")
        assert await keys(inside) == names
        assert [kv.key for kv in await inside.get_range(b"l", b"\0")] == [b"\xff", b"\xff\xff"]
        assert await keys(inside, b"\xff") == [b"\xff", b"\xff\xff"]
        assert [kv.key async for kv in inside.scan_prefix(b"", page_size=2)] == names
        assert (await inside.delete_range(b"\0", b"\0")).deleted == 4
        assert await keys(client) == sorted(outside)


async def test_a_transaction_sees_only_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    ops = inside.transactions
    await client.put(key_prefix + b"zzz", b"outside")
    await inside.put(b"a", b"1")
    nested = ops.txn(
        [ops.value(b"a") == b"1"],
        [ops.put(b"b", b"2", prev_kv=True), ops.get(b"a", b"\0"), ops.delete(b"a", prev_kv=True)],
    )
    # A compare of a range holds if it holds for each key in it.
    result = await inside.transaction(
        [ops.version(b"a", b"\0") == 1], [ops.txn([ops.version(b"a") > 0], [nested])]
    )
    assert result.succeeded
    (outer,) = result.txns
    (inner,) = outer.txns
    assert inner.succeeded
    assert [kv.key for kv in inner.gets[0].kvs] == [b"a", b"b"]
    assert [kv.key for kv in inner.deletes[0].prev_kvs] == [b"a"]
    assert not (await inside.transaction([ops.version(b"zzz") > 0], [])).succeeded
    failed = await inside.transaction([ops.version(b"a") > 0], [], [ops.get(b"b")])
    assert [kv.key for kv in failed.gets[0].kvs] == [b"b"]
    assert await keys(client, key_prefix) == [key_prefix + b"in/b", key_prefix + b"zzz"]


async def test_scans_and_bulk_operations_stay_in_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    await client.put(key_prefix + b"z", b"outside")
    pairs = [(b"k/%03d" % number, b"%d" % number) for number in range(300)]
    assert (await inside.put_many(pairs)).done == 300
    names = [key for key, _ in pairs]
    assert await keys(inside) == names
    assert [kv.key async for kv in inside.scan_prefix(b"", page_size=7)] == names
    assert [kv.key async for kv in inside.scan_range(b"k/100", b"\0", reverse=True)] == [
        *reversed(names[100:])
    ]
    after = inside.scan_prefix(b"k/", start_after=b"k/297", page_size=1)
    assert [kv.key async for kv in after] == names[298:]
    assert after.last_key == b"k/299"
    assert [found and found.value for found in await inside.get_many(names)] == [
        value for _, value in pairs
    ]
    assert [key async for key, _ in inside.scan_many(names)] == names
    assert (await inside.delete_many(names)).deleted == 300
    assert await keys(client, key_prefix) == [key_prefix + b"z"]


async def test_large_values_in_bulk_fit_into_requests_with_a_long_prefix(
    client: Client, key_prefix: bytes
) -> None:
    inside = client.namespace(key_prefix + b"p" * 1000)
    pairs = [(b"%03d" % number, bytes(11_900)) for number in range(300)]
    assert (await inside.put_many(pairs)).done == 300
    assert len(await inside.get_all(keys_only=True)) == 300
    await inside.delete_prefix(b"")


@pytest.mark.parametrize("order", ["inside out", "outside in"])
async def test_coalesced_calls_stay_in_the_namespace(
    client: Client, key_prefix: bytes, order: str
) -> None:
    prefix = key_prefix + b"in/"
    if order == "inside out":
        shared = client.namespace(prefix).coalescing()
    else:
        shared = client.coalescing().namespace(prefix)
    names = [b"%d" % number for number in range(200)]
    await asyncio.gather(*(shared.put(name, b"of " + name) for name in names))
    # Several calls for one key must not share a response that each of them changes.
    found = await asyncio.gather(*(shared.get(name) for name in names * 3))
    assert [kv and (kv.key, kv.value) for kv in found] == [(n, b"of " + n) for n in names * 3]
    before = await asyncio.gather(*(shared.put(name, b"2", prev_kv=True) for name in names))
    assert [put.prev_kv and put.prev_kv.key for put in before] == names
    assert await keys(client, key_prefix) == sorted(prefix + name for name in names)
    gone = await asyncio.gather(*(shared.delete(name, prev_kv=True) for name in names))
    assert [kv and kv.prev_kv and kv.prev_kv.key for kv in gone] == names


async def test_namespaces_of_a_coalescing_client_share_transactions(
    client: Client, key_prefix: bytes
) -> None:
    shared = client.coalescing()
    one, two = (shared.namespace(key_prefix + name) for name in (b"one/", b"two/"))
    await asyncio.gather(*(one.put(b"%d" % n, b"1") for n in range(100)))
    puts = await asyncio.gather(
        *(each.put(b"%d" % number, b"2") for number in range(100) for each in (one, two))
    )
    assert len({put.header.revision for put in puts}) < 200
    assert len(await one.get_all()) == len(await two.get_all()) == 100


async def test_a_transaction_that_retries_stays_in_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    other = client.namespace(key_prefix + b"other/")
    await other.put(b"counter/a", b"1000")

    async def body(t: STMTransaction) -> int:
        total = sum(int(kv.value) for kv in await t.get_prefix(b"counter/"))
        mine = await t.get(b"counter/a")
        t.put(b"counter/a", b"%d" % (int(mine.value if mine else b"0") + 1))
        return total

    await asyncio.gather(*(inside.stm(body, timeout=HANG) for _ in range(20)))
    result = await inside.stm(body)
    assert result.value == 20
    found = await other.get(b"counter/a")
    assert found is not None
    assert found.value == b"1000"


# The client --------------------------------------------------------------------------------


async def test_two_namespaces_do_not_see_each_other(client: Client, key_prefix: bytes) -> None:
    one, two = (client.namespace(key_prefix + name) for name in (b"one/", b"two/"))
    async with one.watch_prefix(b"") as watch:
        await two.put(b"k", b"of two")
        await one.put(b"k", b"of one")
        event = await asyncio.wait_for(watch.__anext__(), HANG)
        assert event.kv.value == b"of one"
    assert (await one.delete_prefix(b"")).deleted == 1
    assert await keys(two) == [b"k"]


async def test_a_namespace_of_a_namespace_has_both_prefixes(
    client: Client, key_prefix: bytes
) -> None:
    outer = client.namespace(key_prefix + b"app/")
    inner = outer.namespace(b"part/")
    await inner.put(b"k", b"v")
    async with inner.watch_prefix(b"") as watch, inner.lock(b"lock"):
        await inner.put(b"k", b"w")
        event = await asyncio.wait_for(watch.__anext__(), HANG)
        # The lock may have been acquired after the watch began.
        assert event.kv.key in (b"k", b"lock")
    assert await keys(inner) == [b"k"]
    assert await keys(outer) == [b"part/k"]
    assert await client.get(key_prefix + b"app/part/k") is not None
    # It is one view with both prefixes.
    assert inner.channel is client.namespace(key_prefix + b"app/part/").channel


async def test_a_namespace_shares_the_channel_and_closes_nothing(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Client(endpoints=etcd_endpoint) as client:
        async with client.namespace(key_prefix) as inside:
            await inside.put(b"k", b"v")
        await inside.close()
        assert not client.channel.closed
        assert await inside.get(b"k") is not None
    with pytest.raises(ClientClosedError):
        await inside.get(b"k")
    with pytest.raises(ClientClosedError):
        await inside.connect()


async def test_a_namespace_is_an_async_context_manager_that_connects(etcd_endpoint: str) -> None:
    client = Client(endpoints=etcd_endpoint)
    async with client.namespace(b"app/"):
        assert not client.channel.closed
    await client.close()
    nobody = Client("127.0.0.1", 1, connect_wait_timeout=2)
    with pytest.raises(ConnectionError):
        await nobody.namespace(b"app/").connect()
    await nobody.close()


async def test_clients_of_one_namespace_share_one_view(client: Client) -> None:
    first = client.namespace(b"app/")
    assert client.namespace(b"app/").channel is first.channel
    assert client.namespace(b"other/").channel is not first.channel
    assert Client.on(client.channel).namespace(b"app/").channel is first.channel


def test_what_has_no_keys_is_not_in_a_namespace() -> None:
    inside = Client().namespace(b"app/")
    for name in (
        "members",
        "status",
        "snapshot",
        "defragment",
        "user_add",
        "role_add",
        "auth_enable",
    ):
        assert not hasattr(inside, name), name
    left = {
        name
        for kind in (each for each in Client.__mro__ if each not in KeyspaceClient.__mro__)
        for name in vars(kind)
        if not name.startswith("_") and hasattr(inside, name) and kind is not Client
    }
    assert left == set()


async def test_an_rpc_that_is_not_in_a_namespace_is_refused(client: Client) -> None:
    whole = Client.on(client.namespace(b"app/"))
    for call in (
        whole.status(),
        whole.auth_status(),
        whole.role_grant_permission("role", PermissionKind.READ, b"k"),
    ):
        with pytest.raises(ValueError, match=r"is not available in the namespace b'app/': call it"):
            await call
    with pytest.raises(ValueError, match=r"^Maintenance\.Snapshot is not available in"):
        async for _ in whole.channel.download(SNAPSHOT, maintenance_pb2.SnapshotRequest()):
            pass


@pytest.mark.parametrize(
    ("prefix", "error", "message"),
    [
        (b"", ValueError, "prefix must not be empty"),
        ("app/", TypeError, r"prefix must be bytes, not str: use prefix\.encode\(\) for 'app/'"),
        (None, TypeError, "prefix must be bytes, not NoneType"),
        (7, TypeError, "prefix must be bytes, not int"),
    ],
)
def test_a_prefix_that_is_none_is_refused(
    prefix: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        Client().namespace(prefix)
    with pytest.raises(error, match=f"^{message}$"):
        NamespaceView(Channel(), prefix)


def test_a_namespace_shows_its_prefix() -> None:
    inside = Client(port=1234).namespace(b"app/").namespace(b"part/")
    assert repr(inside) == "KeyspaceClient(localhost:1234, prefix=b'app/part/')"
    assert inside.key_prefix == b"app/part/"
    assert inside.coalescing().key_prefix == b"app/part/"
    assert KeyspaceClient(inside.coalescing()).namespace(b"x/").key_prefix == b"app/part/x/"
    assert Client().key_prefix == b""
    assert isinstance(inside.channel, NamespaceView)
    assert repr(inside.channel).endswith(", b'app/part/')")
