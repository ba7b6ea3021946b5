"""Watches, leases, locks and elections in a namespace."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from namespace_support import HANG, keys

from etcd_client import (
    Client,
    Election,
    EventKind,
    KeyspaceClient,
    Mutex,
    ReadWriteLock,
    RevisionCompactedError,
    Semaphore,
)
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.plugin import ServerFactory

# Watches -----------------------------------------------------------------------------------


async def test_a_watch_shows_the_events_of_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    async with inside.watch(b"a", b"\0", prev_kv=True) as watch:
        await client.put(key_prefix + b"in", b"outside")
        await inside.put(b"k", b"1")
        await client.put(key_prefix + b"z", b"outside")
        await inside.delete(b"k")
        put = await asyncio.wait_for(watch.__anext__(), HANG)
        deleted = await asyncio.wait_for(watch.__anext__(), HANG)
    assert (put.kind, put.kv.key, put.kv.value, put.prev_kv) == (EventKind.PUT, b"k", b"1", None)
    assert (deleted.kind, deleted.kv.key) == (EventKind.DELETE, b"k")
    assert deleted.prev_kv is not None
    assert deleted.prev_kv.key == b"k"
    event = asyncio.create_task(inside.watch_prefix_once(b"", HANG))
    while not event.done():
        await inside.put(b"once", b"v")
        await asyncio.wait([event], timeout=0.05)
    assert event.result().kv.key == b"once"


async def test_a_watch_goes_on_in_the_namespace_after_a_break(
    etcd_endpoint: str, client: Client, key_prefix: bytes
) -> None:
    async with (
        FaultProxy(etcd_endpoint) as proxy,
        Client(endpoints=proxy.endpoint) as broken,
        broken.namespace(key_prefix + b"in/").watch_prefix(b"") as watch,
    ):
        for number in range(4):
            await client.put(key_prefix + b"before", b"outside")
            await client.put(key_prefix + b"in/k", b"%d" % number)
            await client.put(key_prefix + b"other", b"outside")
            event = await asyncio.wait_for(watch.__anext__(), HANG)
            assert (event.kv.key, event.kv.value) == (b"k", b"%d" % number)
            proxy.cut()
        # The last broken connection may not have been detected yet.
        assert broken.channel.reconnects >= 3


async def test_a_watch_from_a_compacted_revision_raises_the_usual_error(
    etcd_server_factory: ServerFactory,
) -> None:
    async with Client(endpoints=etcd_server_factory().endpoint) as client:
        inside = client.namespace(b"in/")
        await inside.put(b"k", b"1")
        await inside.compact((await inside.put(b"k", b"2")).header.revision)
        with pytest.raises(RevisionCompactedError):
            async for _ in inside.watch(b"k", start_revision=1):
                pass


# Leases and locks --------------------------------------------------------------------------


async def test_a_lease_shows_its_keys_of_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    async with inside.lease(60) as lease:
        await inside.put(b"k", b"v", lease)
        await client.put(key_prefix + b"outside", b"v", lease)
        await client.put(key_prefix + b"in/", b"v", lease)
        info = await inside.get_lease_info(lease)
        assert info.keys == [b"k"]
        everything = await client.get_lease_info(lease)
        assert len(everything.keys) == 3
        assert await lease.keys() == [b"k"]


async def test_locks_of_two_namespaces_do_not_exclude_each_other(
    client: Client, key_prefix: bytes
) -> None:
    one, two = (client.namespace(key_prefix + name) for name in (b"one/", b"two/"))
    async with one.lock(b"lock"), two.lock(b"lock", timeout=HANG):
        assert not await one.lock(b"lock").acquire(timeout=0.1)
    async with one.session(60) as a, one.session(60) as b, two.session(60) as c:
        async with Mutex(a, b"m") as held, Mutex(c, b"m", timeout=HANG):
            assert held.key == b"m/%x" % a.lease.id
            assert not await Mutex(b, b"m").acquire(timeout=0.1)
            ours = one.transactions.put(b"guarded", b"v")
            assert (await one.transaction([held.ownership()], [ours])).succeeded
            # The ownership names a key of its own namespace.
            assert not (await two.transaction([held.ownership()], [ours])).succeeded
        async with ReadWriteLock(a, b"rw").write_lock(), ReadWriteLock(c, b"rw").write_lock():
            pass
        async with Semaphore(a, b"s", 1).permit(), Semaphore(c, b"s", 1).permit():
            assert (await Semaphore(b, b"s", 1).usage()).holders == 1
    assert await keys(client, key_prefix) == [key_prefix + b"one/guarded"]


async def test_an_election_belongs_to_its_namespace(client: Client, key_prefix: bytes) -> None:
    one, two = (client.namespace(key_prefix + name) for name in (b"one/", b"two/"))
    async with one.session(60) as a, two.session(60) as b:
        async with (
            Election(a, b"leader").lead(b"first"),
            Election(b, b"leader").lead(b"second"),
        ):
            leader = await one.election_leader(b"leader")
            assert leader is not None
            assert (leader.key, leader.value) == (b"leader/%x" % a.lease.id, b"first")
            async with aclosing(two.observe_election(b"leader")) as leaders:
                async for seen in leaders:
                    assert seen.value == b"second"
                    break


async def test_the_servers_own_locks_and_elections_work_in_a_namespace(
    client: Client, key_prefix: bytes
) -> None:
    one, two = (client.namespace(key_prefix + name) for name in (b"one/", b"two/"))
    async with one.lease(60) as a, two.lease(60) as b:
        held = await one.server_lock(b"lock", a, timeout=HANG)
        assert held == b"lock/%x" % a.id
        other = await two.server_lock(b"lock", b, timeout=HANG)
        assert await keys(client, key_prefix) == [
            key_prefix + b"one/" + held,
            key_prefix + b"two/" + other,
        ]
        await one.server_unlock(held)
        await two.server_unlock(other)
        leader = await one.server_campaign(b"election", b"first", a, timeout=HANG)
        assert (leader.name, leader.key) == (b"election", b"election/%x" % a.id)
        await two.server_campaign(b"election", b"second", b, timeout=HANG)
        await one.server_proclaim(leader, b"again")
        found = await one.server_leader(b"election")
        assert (found.key, found.value) == (leader.key, b"again")
        async with aclosing(two.server_observe(b"election")) as leaders:
            async for seen in leaders:
                assert (seen.key, seen.value) == (b"election/%x" % b.id, b"second")
                break
        await one.server_resign(leader)
    assert await keys(client, key_prefix) == []


async def test_a_cancelled_wait_for_a_server_lock_leaves_nothing_in_the_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    async with inside.lease(60) as a, inside.lease(60) as b:
        held = await inside.server_lock(b"lock", a)
        waiting = asyncio.create_task(inside.server_lock(b"lock", b))
        async with inside.watch_prefix(b"lock/", start_revision=1) as watch:
            async for event in watch:
                if event.kv.lease == b.id:
                    break
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await keys(inside) == [held]
        await inside.server_unlock(held)


async def test_etcdctl_sees_the_whole_key(
    etcd_server: EtcdServer, client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    await inside.put(b"k", b"v")
    full = (key_prefix + b"in/").decode()
    assert await etcd_server.etcdctl("get", full, "--prefix") == f"{full}k\nv\n"
    async with inside.session(60) as session, Mutex(session, b"m"):
        listed = await etcd_server.etcdctl("get", full + "m/", "--prefix", "--keys-only")
        assert listed.split() == [f"{full}m/{session.lease.id:x}"]


async def test_recipes_of_two_namespaces_are_not_the_same(
    client: Client, key_prefix: bytes
) -> None:
    one, two = (client.namespace(key_prefix + name) for name in (b"one/", b"two/"))
    await one.counter(b"counter").add(5)
    assert await two.counter(b"counter").add(1) == 1
    await one.queue(b"queue").put(b"of one")
    await two.queue(b"queue").put(b"of two")
    assert await one.queue(b"queue").get(timeout=HANG) == b"of one"
    assert await two.queue(b"queue").get(timeout=HANG) == b"of two"


async def test_a_cache_has_the_keys_of_its_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    await client.put(key_prefix + b"z", b"outside")
    await inside.put(b"k", b"1")
    async with inside.cache(b"") as cache:
        put = await inside.put(b"l", b"2")
        await client.put(key_prefix + b"in0", b"outside")
        await cache.catch_up(at_least=put.header.revision)
        assert [(kv.key, kv.value) for kv in cache.items()] == [(b"k", b"1"), (b"l", b"2")]
