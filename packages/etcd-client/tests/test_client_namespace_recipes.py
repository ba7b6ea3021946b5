"""Locks of several names, recipes, caches and mirrors in a namespace."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from namespace_support import HANG, keys

from etcd_client import (
    Client,
    DoubleBarrier,
    Endpoint,
    KeyspaceClient,
    MultiLock,
    Part,
    mirror,
)


@pytest.fixture
def outside(client: Client, key_prefix: bytes) -> KeyspaceClient:
    """Another namespace, in which the same names are used."""
    return client.namespace(key_prefix + b"out/")


async def only_keys_of(client: Client, key_prefix: bytes, *namespaces: bytes) -> None:
    """Fail if there is a key outside of the namespaces, or none in one of them."""
    found = await keys(client, key_prefix)
    wanted = [key_prefix + namespace for namespace in namespaces]
    assert all(key.startswith(tuple(wanted)) for key in found), found
    assert all(any(key.startswith(each) for key in found) for each in wanted), found


async def test_multi_locks_of_two_namespaces_do_not_exclude_each_other(
    client: Client, inside: KeyspaceClient, outside: KeyspaceClient, key_prefix: bytes
) -> None:
    async with inside.session(60) as a, inside.session(60) as b, outside.session(60) as c:
        async with MultiLock(a, [b"k", b"l"]) as held, MultiLock(c, [b"k", b"l"], timeout=HANG):
            assert [key[:2] for key in held.keys] == [b"k/", b"l/"]
            assert not await MultiLock(b, [b"l", b"m"]).acquire(timeout=0.1)
            await only_keys_of(client, key_prefix, b"in/", b"out/")
    assert await keys(client, key_prefix) == []


async def test_barriers_and_latches_belong_to_their_namespaces(
    client: Client, inside: KeyspaceClient, outside: KeyspaceClient, key_prefix: bytes
) -> None:
    assert await inside.barrier(b"gate").hold()
    assert await outside.barrier(b"gate").wait(timeout=0)
    assert not await inside.barrier(b"gate").wait(timeout=0.05)
    assert await outside.barrier(b"gate").hold()
    assert await inside.barrier(b"gate").release()
    assert await outside.barrier(b"gate").is_held()
    for namespace in (inside, outside):
        await namespace.count_down_latch(b"start", 2).count_down(b"a")
        assert await namespace.count_down_latch(b"start", 2).remaining() == 1
    await only_keys_of(client, key_prefix, b"in/", b"out/")
    async with inside.session(60) as a, inside.session(60) as b, outside.session(60) as c:
        assert not await DoubleBarrier(c, b"d", 2).enter(timeout=0)
        first, second = DoubleBarrier(a, b"d", 2), DoubleBarrier(b, b"d", 2)
        assert all(await asyncio.gather(first.enter(timeout=HANG), second.enter(timeout=HANG)))
        await only_keys_of(client, key_prefix, b"in/", b"out/")
        assert all(await asyncio.gather(first.leave(timeout=HANG), second.leave(timeout=HANG)))


async def test_work_queues_belong_to_their_namespaces(
    client: Client, inside: KeyspaceClient, outside: KeyspaceClient, key_prefix: bytes
) -> None:
    queue, other = inside.work_queue(b"w", attempts=1), outside.work_queue(b"w", attempts=1)
    await queue.put(b"job")
    async with inside.session(60) as a, outside.session(60) as b:
        assert await other.take(b, timeout=0) is None
        job = await queue.take(a, timeout=HANG)
        assert job is not None
        guarded = inside.transactions.put(b"result", b"")
        assert (await inside.transaction([job.ownership()], [guarded])).succeeded
        await only_keys_of(client, key_prefix, b"in/")
        assert await job.give_back()
    assert await queue.dead() == {job.id: b"job"}
    assert await other.dead() == {}
    await inside.priority_queue(b"p").put(b"item", 7)
    assert await outside.priority_queue(b"p").get(timeout=0) is None
    assert await inside.priority_queue(b"p").get(timeout=HANG) == b"item"


async def test_groups_and_services_belong_to_their_namespaces(
    client: Client, inside: KeyspaceClient, outside: KeyspaceClient, key_prefix: bytes
) -> None:
    async with inside.session(60) as session:
        async with inside.group(b"g").member(session, b"data", member=b"a"):
            assert await inside.group(b"g").members() == {b"a": b"data"}
            assert await outside.group(b"g").members() == {}
            await only_keys_of(client, key_prefix, b"in/")
    async with (
        inside.registration(b"web", "a:1", ttl=60),
        inside.discovery(b"web") as here,
        outside.discovery(b"web") as there,
    ):
        assert here.endpoints == (Endpoint("a:1", None, b"web/a:1"),)
        assert there.endpoints == ()
        await only_keys_of(client, key_prefix, b"in/")


async def test_parts_are_divided_in_each_namespace(
    client: Client, inside: KeyspaceClient, outside: KeyspaceClient, key_prefix: bytes
) -> None:
    everything, working = asyncio.Event(), list[bytes]()

    async def work(part: Part) -> None:
        working.append(part.name)
        if len(working) == 4:
            everything.set()
        await asyncio.Event().wait()

    members = [each.partitioner(b"p", [b"a", b"b"], ttl=60) for each in (inside, outside)]
    tasks = [asyncio.create_task(member.run(work)) for member in members]
    await asyncio.wait_for(everything.wait(), HANG)
    assert sorted(working) == [b"a", b"a", b"b", b"b"]
    assert [member.owned for member in members] == [{b"a", b"b"}] * 2
    await only_keys_of(client, key_prefix, b"in/", b"out/")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert await keys(client, key_prefix) == []


async def test_a_watch_from_the_list_has_the_keys_of_its_namespace(
    client: Client, inside: KeyspaceClient, key_prefix: bytes
) -> None:
    await inside.put(b"k", b"1")
    await client.put(key_prefix + b"other", b"outside")
    async with aclosing(inside.watch_from_list(b"")) as changes:
        first = await asyncio.wait_for(anext(changes), HANG)
        await client.put(key_prefix + b"in0", b"outside")
        await inside.put(b"l", b"2")
        second = await asyncio.wait_for(anext(changes), HANG)
    assert [(first.key, second.key)] == [(b"k", b"l")]


async def test_a_mirror_copies_one_namespace_into_another(
    client: Client, inside: KeyspaceClient, outside: KeyspaceClient, key_prefix: bytes
) -> None:
    await client.put(key_prefix + b"other", b"not copied")
    put = await inside.put(b"a/k", b"v")
    steps = mirror(inside, b"a/", outside, b"b/", checkpoint=b"checkpoint")
    async with aclosing(steps):
        while (await asyncio.wait_for(anext(steps), HANG)).revision < put.header.revision:
            pass
    found = [(each.key, each.value) for each in await outside.get_prefix(b"b/")]
    assert found == [(b"b/k", b"v")]
    expected = [b"in/a/k", b"other", b"out/b/k", b"out/checkpoint"]
    assert await keys(client, key_prefix) == [key_prefix + name for name in expected]
