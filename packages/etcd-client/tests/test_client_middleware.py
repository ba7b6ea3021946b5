"""Two examples of middleware: one counts calls, one adds a prefix to all keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message

from etcd_channel import Channel, ChannelLike, ChannelView, Rpc, prefix_range_end
from etcd_channel.pb import common_pb2
from etcd_client import Client
from etcd_kv.pb import kv_pb2
from etcd_lock.pb import v3election_pb2, v3lock_pb2
from etcd_testing import FaultProxy
from etcd_watch.pb import watch_pb2

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

# A view that counts ------------------------------------------------------------------------


class CountingView(ChannelView):
    """Counts calls by the name of their RPC."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        self.calls[rpc.name] += 1
        return super().call(rpc, request, timeout=timeout, endpoint=endpoint)


# A view that prefixes keys -----------------------------------------------------------------

KEYS: dict[type[Message], tuple[str, ...]] = {
    common_pb2.KeyValue: ("key",),
    kv_pb2.RangeRequest: ("key",),
    kv_pb2.PutRequest: ("key",),
    kv_pb2.DeleteRangeRequest: ("key",),
    kv_pb2.Compare: ("key",),
    watch_pb2.WatchCreateRequest: ("key",),
    v3lock_pb2.LockRequest: ("name",),
    v3lock_pb2.LockResponse: ("key",),
    v3lock_pb2.UnlockRequest: ("key",),
    v3election_pb2.CampaignRequest: ("name",),
    v3election_pb2.LeaderRequest: ("name",),
    v3election_pb2.LeaderKey: ("name", "key"),
}
"""The messages with keys, and the fields of the keys; `range_end` is handled separately."""


def walk(message: Message, edit: Callable[[Message], None]) -> None:
    """Edit a message, and all messages within it."""
    edit(message)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if isinstance(value, Message) else value:
            walk(part, edit)


class PrefixView(ChannelView):
    """Adds a prefix to all keys, which its callers do not see."""

    def __init__(self, inner: ChannelLike, prefix: bytes) -> None:
        super().__init__(inner)
        self.prefix = prefix

    def rpc_for(self, rpc: Rpc[RequestT, ResponseT]) -> Rpc[RequestT, ResponseT]:
        return rpc.edited(
            request=lambda message: walk(message, self._put_before),
            response=lambda message: walk(message, self._take_away),
        )

    def _put_before(self, message: Any) -> None:
        for field in KEYS.get(type(message), ()):
            setattr(message, field, self.prefix + getattr(message, field))
            end = getattr(message, "range_end", b"")
            if end:
                # The end of all keys becomes the end of all keys with the prefix.
                below = prefix_range_end(self.prefix) if end == b"\0" else self.prefix + end
                message.range_end = below

    def _take_away(self, message: Any) -> None:
        for field in KEYS.get(type(message), ()):
            key = getattr(message, field)
            if key:
                assert key.startswith(self.prefix)
                setattr(message, field, key[len(self.prefix) :])


@pytest.fixture
async def channel(etcd_endpoint: str) -> AsyncIterator[Channel]:
    async with Channel(etcd_endpoint) as channel:
        yield channel


# -------------------------------------------------------------------------------------------


async def test_a_view_counts_the_calls_of_all_services(channel: Channel, key_prefix: bytes) -> None:
    view = CountingView(channel)
    client = Client.on(view)
    await client.put(key_prefix, b"v")
    await client.get(key_prefix)
    async with client.lease(30):
        pass
    async with client.lock(key_prefix + b"/lock"):
        pass
    await client.status()
    assert view.calls["KV.Put"] == 1
    assert view.calls["Lease.LeaseGrant"] == 2
    assert view.calls["Maintenance.Status"] == 1
    counted = view.calls.copy()
    await Client.on(channel).get(key_prefix)
    assert view.calls == counted


async def test_keys_are_prefixed_in_reads_and_writes(channel: Channel, key_prefix: bytes) -> None:
    everything, client = Client.on(channel), Client.on(PrefixView(channel, key_prefix + b"in/"))
    await everything.put(key_prefix + b"a", b"outside")
    await everything.put(key_prefix + b"z", b"outside")
    for key in (b"a", b"b", b"c"):
        await client.put(key, b"of " + key)
    got = await client.get(b"b")
    assert got is not None
    assert (got.key, got.value) == (b"b", b"of b")
    assert [kv.key for kv in await client.get_all()] == [b"a", b"b", b"c"]
    assert [kv.key for kv in await client.get_range(b"b", b"\0")] == [b"b", b"c"]
    assert [kv.key for kv in await client.get_range(b"a", b"c")] == [b"a", b"b"]
    assert [kv.key async for kv in client.scan_prefix(b"", page_size=2)] == [b"a", b"b", b"c"]
    assert [kv.key for kv in await everything.get_prefix(key_prefix)] == [
        key_prefix + name for name in (b"a", b"in/a", b"in/b", b"in/c", b"z")
    ]
    deleted = await client.delete_prefix(b"", prev_kv=True)
    assert [kv.key for kv in deleted.prev_kvs] == [b"a", b"b", b"c"]
    assert len(await everything.get_prefix(key_prefix)) == 2


async def test_keys_are_prefixed_in_a_nested_transaction(
    channel: Channel, key_prefix: bytes
) -> None:
    everything, client = Client.on(channel), Client.on(PrefixView(channel, key_prefix))
    ops = client.transactions
    await client.put(b"a", b"1")
    inner = ops.txn(
        [ops.value(b"a") == b"1"],
        [ops.put(b"b", b"2"), ops.get(b"a", b"\0"), ops.delete(b"a", prev_kv=True)],
    )
    succeeded, responses = await client.transaction(
        [ops.version(b"a", b"\0") == 1], [ops.txn([ops.version(b"a") > 0], [inner])]
    )
    assert succeeded
    response: Any = responses[0]
    nested = response.response_txn.responses[0].response_txn
    assert nested.succeeded
    read, deleted = nested.responses[1].response_range, nested.responses[2].response_delete_range
    assert [kv.key for kv in read.kvs] == [b"a", b"b"]
    assert [kv.key for kv in deleted.prev_kvs] == [b"a"]
    assert [kv.key for kv in await everything.get_prefix(key_prefix)] == [key_prefix + b"b"]


async def test_a_watch_keeps_its_prefix_over_a_reconnect(
    etcd_endpoint: str, channel: Channel, key_prefix: bytes
) -> None:
    everything = Client.on(channel)
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as broken:
        client = Client.on(PrefixView(broken, key_prefix + b"in/"))
        async with client.watch(b"a", b"\0", prev_kv=True) as watch:
            for number in range(3):
                await everything.put(key_prefix + b"before", b"outside")
                await everything.put(key_prefix + b"in/k", b"%d" % number)
                await everything.put(key_prefix + b"other", b"outside")
                event = await asyncio.wait_for(watch.__anext__(), HANG)
                assert (event.kv.key, event.kv.value) == (b"k", b"%d" % number)
                before = None if event.prev_kv is None else event.prev_kv.key
                assert before == (b"k" if number else None)
                proxy.cut()
        # The last broken connection may not have been detected yet.
        assert broken.reconnects >= 2


async def test_keys_are_prefixed_in_a_download(channel: Channel, key_prefix: bytes) -> None:
    everything, client = Client.on(channel), Client.on(PrefixView(channel, key_prefix))
    async with client.lease(60) as lease:
        leader = await client.server_campaign(b"election", b"one", lease)
        assert leader.key == b"election/%x" % lease.id
        async for kv in client.server_observe(b"election"):
            assert (kv.key, kv.value) == (leader.key, b"one")
            break
        held = await everything.get_prefix(key_prefix)
        assert [kv.key for kv in held] == [key_prefix + leader.key]
        await client.server_resign(leader)


async def test_locks_and_elections_work_below_a_prefix(channel: Channel, key_prefix: bytes) -> None:
    everything, client = Client.on(channel), Client.on(PrefixView(channel, key_prefix))
    async with client.lock(b"lock"):
        assert [kv.key for kv in await everything.get_prefix(key_prefix)] != []
        async with everything.lock(b"lock", timeout=HANG):
            pass
    assert len(await everything.get_prefix(key_prefix)) == 0


async def test_views_can_be_stacked(channel: Channel, key_prefix: bytes) -> None:
    counting = CountingView(PrefixView(PrefixView(channel, key_prefix), b"app/"))
    client = Client.on(PrefixView(counting, b"part/"))
    await client.put(b"k", b"v")
    assert [kv.key for kv in await client.get_all()] == [b"k"]
    assert counting.calls == {"KV.Put": 1, "KV.Range": 1}
    found = await Client.on(channel).get(key_prefix + b"app/part/k")
    assert found is not None
