"""Concurrent gets, puts and deletions that share transactions: results, and what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from kv_coalescing_support import Recorder, gets_are_shared
from kv_support import PATIENT

from etcd_channel import Channel, ChannelView
from etcd_kv import KVClient


async def test_concurrent_puts_share_transactions_and_have_their_own_results(
    shared: KVClient, kv: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % n for n in range(300)]
    await kv.put(keys[3], b"before")
    results = await asyncio.gather(
        *(shared.put(key, b"value of " + key, prev_kv=n % 2 == 1) for n, key in enumerate(keys))
    )
    assert len(sent.calls) < 10
    assert sum(sent.sizes) == 300
    stored = {item.key: item for item in await kv.get_prefix(key_prefix)}
    assert {key: stored[key].value for key in keys} == {key: b"value of " + key for key in keys}
    for key, result in zip(keys, results, strict=True):
        assert result.header.revision == stored[key].mod_revision
        assert result.header.cluster_id
        assert result.header.member_id
        assert result.header.raft_term
    previous = results[3].prev_kv
    assert previous is not None
    assert previous.value == b"before"
    assert {result.prev_kv for n, result in enumerate(results) if n != 3} == {None}


async def test_concurrent_gets_share_transactions_if_the_server_is_safe(
    shared: KVClient, kv: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % n for n in range(300)]
    await kv.put_many((key, b"value of " + key) for key in keys[::2])
    results = await asyncio.gather(*(shared.get(key) for key in keys))
    assert len(sent.calls) < 10 if gets_are_shared() else sent.calls == ["KV.Range"] * 300
    now = await kv.get(keys[0])
    assert now is not None
    for n, (key, result) in enumerate(zip(keys, results, strict=True)):
        if n % 2:
            assert result is None
        else:
            assert result == await kv.get(key)
            assert result is not None
            assert result.header.revision == now.header.revision
            assert result.header.cluster_id == now.header.cluster_id


async def test_the_options_of_a_get_are_its_own(
    shared: KVClient, kv: KVClient, key_prefix: bytes
) -> None:
    first = await kv.put(key_prefix, b"old")
    second = await kv.put(key_prefix, b"new")
    old, new = first.header.revision, second.header.revision
    plain, bare, late, early, past, stale = await asyncio.gather(
        shared.get(key_prefix),
        shared.get(key_prefix, keys_only=True),
        shared.get(key_prefix, min_mod_revision=new + 1),
        shared.get(key_prefix, max_create_revision=old),
        shared.get(key_prefix, revision=old),
        shared.get(key_prefix, True),
    )
    assert plain is not None
    assert plain.value == b"new"
    assert bare is not None
    assert bare.value == b""
    assert late is None
    assert early == plain
    assert past is not None
    assert past.value == b"old"
    assert stale == plain


async def test_a_serializable_get_is_not_sent_with_linearizable_ones(
    shared: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    await asyncio.gather(*(shared.get(key_prefix, n % 2 == 1) for n in range(40)))
    if gets_are_shared():
        assert sum(sent.sizes) == 40
        assert max(sent.sizes) <= 20


async def test_concurrent_deletions_share_transactions_and_have_their_own_results(
    shared: KVClient, kv: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    keys = [key_prefix + b"%d" % n for n in range(300)]
    await kv.put_many((key, b"value of " + key) for key in keys[::2])
    results = await asyncio.gather(*(shared.delete(key, n % 4 == 0) for n, key in enumerate(keys)))
    assert len(sent.calls) < 10
    for n, (key, result) in enumerate(zip(keys, results, strict=True)):
        if n % 2:
            assert result is None
            continue
        assert result is not None
        assert result.deleted == 1
        assert result.header.revision
        if n % 4:
            assert result.prev_kv is None
        else:
            assert result.prev_kv is not None
            assert result.prev_kv.value == b"value of " + key
    assert not await kv.get_prefix(key_prefix)


async def test_a_lone_call_is_sent_as_its_own_rpc(
    shared: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    for _ in range(3):
        await shared.put(key_prefix, b"")
        await shared.get(key_prefix)
        await shared.delete(key_prefix)
    assert sent.calls == ["KV.Put", "KV.Range", "KV.DeleteRange"] * 3


async def test_other_calls_pass_unchanged(
    shared: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    await asyncio.gather(
        shared.get_prefix(key_prefix),
        shared.get_range(key_prefix, None, revision=1),
        shared.delete_prefix(key_prefix),
        shared.transaction([], [shared.transactions.put(key_prefix, b"")]),
        shared.replace(key_prefix, b"", b"new"),
    )
    await shared.get(key_prefix, revision=1)
    assert sorted(sent.calls) == ["KV.DeleteRange"] + ["KV.Range"] * 3 + ["KV.Txn"] * 2


async def test_a_task_sees_its_own_writes_in_order(shared: KVClient, key_prefix: bytes) -> None:
    async def work(key: bytes) -> None:
        for n in range(10):
            value = b"%d" % n
            await shared.put(key, value)
            got = await shared.get(key)
            assert got is not None
            assert got.value == value
        assert await shared.delete(key)
        assert await shared.get(key) is None

    await asyncio.gather(*(work(key_prefix + b"%d" % n) for n in range(40)))


async def test_a_repeated_key_is_put_as_often_as_it_was_given(
    shared: KVClient, kv: KVClient, sent: Recorder, key_prefix: bytes
) -> None:
    results = await asyncio.gather(
        *(shared.put(key_prefix + b"%d" % (n % 7), b"%d" % n) for n in range(70))
    )
    stored = await kv.get_prefix(key_prefix)
    assert [item.version for item in stored] == [10] * 7
    assert max(sent.sizes) <= 7
    for item in stored:
        mine = [n for n in range(70) if results[n].header.revision == item.mod_revision]
        assert b"%d" % next(n for n in mine if n % 7 == int(item.key[-1:])) == item.value


async def test_clients_on_one_channel_share_their_transactions(
    sent: Recorder, key_prefix: bytes
) -> None:
    kv = KVClient(sent)
    await asyncio.gather(*(kv.coalescing().put(key_prefix + b"%d" % n, b"") for n in range(50)))
    assert len(sent.calls) < 5
    assert kv.coalescing().coalescing().channel is kv.coalescing().channel


async def test_a_transaction_does_not_run_in_the_context_of_a_caller(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    variable: ContextVar[str] = ContextVar("variable")
    seen: dict[str, str | None] = {}

    class Reading(ChannelView):
        def call(self, rpc: Any, request: Any, **options: Any) -> Coroutine[Any, Any, Any]:
            seen[rpc.name] = variable.get(None)
            return super().call(rpc, request, **options)

    async with Channel(etcd_endpoint, **PATIENT) as channel:
        shared = KVClient(Reading(channel)).coalescing()
        variable.set("the caller's")
        await asyncio.gather(*(shared.put(key_prefix + b"%d" % n, b"") for n in range(50)))
    assert seen == {"KV.Put": "the caller's", "KV.Txn": None}
