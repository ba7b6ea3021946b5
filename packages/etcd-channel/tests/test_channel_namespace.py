"""`NamespaceView`: what it sends, what it shows, and how it goes together with other views."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, STATUS, WATCH
from hypothesis import given
from hypothesis import strategies as st

from etcd_channel import NO_KEYS, Channel, ChannelView, KeyFields, Keys, NamespaceView, Rpc
from etcd_channel.namespace import key_prefix_of
from etcd_testing import FaultProxy
from etcd_testing.played import messages

KEY = KeyFields("key")
KEY_RANGE = KeyFields("key", range_end="range_end")
GET: Rpc[Any, Any] = replace(RANGE, keys=Keys(KEY_RANGE, KeyFields(within={"kvs": KEY})))
SET: Rpc[Any, Any] = replace(PUT, keys=Keys(KEY, KeyFields(within={"prev_kv": KEY})))
FOLLOW: Rpc[Any, Any] = replace(
    WATCH,
    keys=Keys(
        KeyFields(within={"create_request": KEY_RANGE}),
        KeyFields(within={"events": KeyFields(within={"kv": KEY, "prev_kv": KEY})}),
    ),
)

# Few different bytes, so that the keys of an example are often close to each other.
few = st.sampled_from([b"\0", b"\1", b"a", b"b", b"\xfe", b"\xff"])
keys = st.lists(few, min_size=1, max_size=4).map(b"".join)


def is_within(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether etcd counts a key to a range."""
    if not end:
        return key == start
    return key >= start and (end == b"\0" or key < end)


@pytest.fixture
async def channel(etcd_endpoint: str) -> AsyncIterator[Channel]:
    async with Channel(etcd_endpoint) as channel:
        yield channel


def sent(prefix: bytes, rpc: Rpc[Any, Any], request: Any) -> Any:
    """Return the request that a namespace sends."""
    return rpc.request.FromString(NamespaceView(Channel(), prefix).rpc_for(rpc).encode(request))


def shown(prefix: bytes, rpc: Rpc[Any, Any], response: Any) -> Any:
    """Return the response that a namespace returns."""
    return NamespaceView(Channel(), prefix).rpc_for(rpc).decode(response.SerializeToString())


# The messages ------------------------------------------------------------------------------


@given(prefix=keys, start=keys, end=st.one_of(st.just(b""), keys), key=keys)
def test_a_range_has_the_same_keys_as_without_the_namespace(
    prefix: bytes, start: bytes, end: bytes, key: bytes
) -> None:
    request = sent(prefix, GET, messages.RangeRequest(key=start, range_end=end))
    inside = is_within(prefix + key, request.key, request.range_end)
    assert inside == is_within(key, start, end)


@given(prefix=keys, start=keys, end=st.one_of(st.just(b""), keys), key=keys)
def test_a_range_never_has_a_key_without_the_prefix(
    prefix: bytes, start: bytes, end: bytes, key: bytes
) -> None:
    request = sent(prefix, GET, messages.RangeRequest(key=start, range_end=end))
    if not key.startswith(prefix):
        assert not is_within(key, request.key, request.range_end)
    # Nor the key that is the prefix itself, which would be empty.
    assert not is_within(prefix, request.key, request.range_end)


@given(prefix=keys, names=st.lists(keys), before=st.one_of(st.none(), keys))
def test_responses_show_the_keys_without_the_prefix(
    prefix: bytes, names: list[bytes], before: bytes | None
) -> None:
    def found(prefix: bytes) -> Any:
        kvs = [{"key": prefix + name, "value": prefix, "version": 7} for name in names]
        return messages.RangeResponse(kvs=kvs, count=9, more=True)

    expected = found(b"")
    for kv in expected.kvs:
        kv.value = prefix
    assert shown(prefix, GET, found(prefix)) == expected

    previous = None if before is None else {"key": prefix + before, "value": prefix}
    response = shown(prefix, SET, messages.PutResponse(prev_kv=previous))
    assert response.HasField("prev_kv") is (before is not None)
    assert response.prev_kv.key == (before or b"")


def test_only_keys_are_changed() -> None:
    request = messages.PutRequest(key=b"k", value=b"v", lease=3)
    assert sent(b"app/", SET, request) == messages.PutRequest(key=b"app/k", value=b"v", lease=3)
    assert request == messages.PutRequest(key=b"k", value=b"v", lease=3)
    cancel = messages.WatchRequest(cancel_request={"watch_id": 3})
    assert sent(b"app/", FOLLOW, cancel) == cancel


def test_an_rpc_without_keys_is_left_as_it_is() -> None:
    rpc = replace(STATUS, keys=NO_KEYS)
    assert NamespaceView(Channel(), b"app/").rpc_for(rpc) is rpc


@pytest.mark.parametrize("request_keys", [None, KEY])
@pytest.mark.parametrize("response_keys", [None, KeyFields(within={"kvs": KEY})])
async def test_request_and_response_may_have_keys_or_not(
    channel: Channel,
    key_prefix: bytes,
    request_keys: KeyFields | None,
    response_keys: KeyFields | None,
) -> None:
    await channel.call(PUT, messages.PutRequest(key=key_prefix + b"k", value=b"v"))
    rpc = replace(RANGE, keys=Keys(request_keys, response_keys))
    name = b"k" if request_keys else key_prefix + b"k"
    view = NamespaceView(channel, key_prefix)
    response = await view.call(rpc, messages.RangeRequest(key=name))
    assert [kv.key for kv in response.kvs] == [b"k" if response_keys else key_prefix + b"k"]


# Calls -------------------------------------------------------------------------------------


async def test_a_request_is_not_changed_by_a_call(channel: Channel, key_prefix: bytes) -> None:
    view = NamespaceView(channel, key_prefix)
    request = messages.PutRequest(key=b"k", value=b"v", prev_kv=True)
    for _ in range(2):
        await view.call(SET, request)
    assert request == messages.PutRequest(key=b"k", value=b"v", prev_kv=True)


async def test_a_call_that_is_never_awaited_leaves_no_other_behind(channel: Channel) -> None:
    """A coroutine inside it would be reported as never awaited."""
    view = NamespaceView(channel, b"app/")
    task = asyncio.create_task(view.call(GET, messages.RangeRequest(key=b"k")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()


async def test_an_empty_key_is_refused(channel: Channel) -> None:
    view = NamespaceView(channel, b"app/")
    with pytest.raises(ValueError, match=r"^key must not be empty in a RangeRequest$"):
        await view.call(GET, messages.RangeRequest(range_end=b"\0"))


async def test_a_request_of_another_class_is_refused(channel: Channel) -> None:
    view = NamespaceView(channel, b"app/")
    with pytest.raises(TypeError, match=r"^request must be RangeRequest for KV\.Range, not Put"):
        await view.call(GET, messages.PutRequest(key=b"k"))


async def test_an_rpc_whose_row_does_not_mention_keys_is_refused(channel: Channel) -> None:
    view = NamespaceView(channel, b"app/")
    with pytest.raises(
        ValueError,
        match=r"^Maintenance\.Status is not available in the namespace b'app/':"
        " call it on a client of the whole store$",
    ):
        await view.call(STATUS, messages.StatusRequest())
    with pytest.raises(ValueError, match=r"^Maintenance\.Snapshot is not available"):
        async for _ in view.download(SNAPSHOT, messages.SnapshotRequest()):
            pass
    with pytest.raises(ValueError, match=r"^Watch\.Watch is not available"):
        view.stream(WATCH, None)  # type: ignore[arg-type]  # it is not used


# Other views -------------------------------------------------------------------------------


class Seeing(ChannelView):
    """Keeps the RPCs and the keys that reach it."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.seen: list[tuple[Any, bytes]] = []

    def call(self, rpc: Any, request: Any, **options: Any) -> Any:
        self.seen.append((rpc, request.key))
        return super().call(rpc, request, **options)


class Tagging(ChannelView):
    """Puts a prefix before keys by an edited RPC, and takes it away."""

    def rpc_for(self, rpc: Any) -> Any:
        return rpc.edited(request=self.add, response=self.remove)

    def add(self, request: Any) -> None:
        request.key = b"tag/" + request.key

    def remove(self, response: Any) -> None:
        for kv in response.kvs:
            assert kv.key.startswith(b"tag/")
            kv.key = kv.key[4:]


async def test_a_view_below_sees_the_whole_key_and_the_same_rpc(
    channel: Channel, key_prefix: bytes
) -> None:
    below = Seeing(channel)
    above = Seeing(NamespaceView(below, key_prefix))
    await above.call(GET, messages.RangeRequest(key=b"k"))
    assert above.seen == [(GET, b"k")]
    assert below.seen == [(GET, key_prefix + b"k")]


@pytest.mark.parametrize("tagging_is_above", [True, False])
async def test_edits_of_other_views_stay_in_their_order(
    channel: Channel, key_prefix: bytes, tagging_is_above: bool
) -> None:
    view: ChannelView
    if tagging_is_above:
        view, key = Tagging(NamespaceView(channel, key_prefix)), key_prefix + b"tag/k"
    else:
        view, key = NamespaceView(Tagging(channel), key_prefix), b"tag/" + key_prefix + b"k"
    await channel.call(PUT, messages.PutRequest(key=key, value=b"v"))
    response = await view.call(GET, messages.RangeRequest(key=b"k"))
    assert [(kv.key, kv.value) for kv in response.kvs] == [(b"k", b"v")]


async def test_namespaces_are_the_same_view_while_one_is_in_use(channel: Channel) -> None:
    first = NamespaceView.of(channel, b"app/")
    assert NamespaceView.of(channel, b"app/") is first
    assert NamespaceView.of(channel, b"other/") is not first
    between = ChannelView(channel)
    assert NamespaceView.of(between, b"app/") is not first
    inner = NamespaceView.of(first, b"part/")
    assert inner is NamespaceView.of(channel, b"app/part/")
    assert inner.inner is channel
    other = NamespaceView.of(ChannelView(first), b"part/")
    assert (other.prefix, key_prefix_of(other)) == (b"part/", b"app/part/")
    assert key_prefix_of(channel) == key_prefix_of(between) == b""
    gone = weakref.ref(inner)
    del inner
    gc.collect()
    assert gone() is None


async def test_a_subclass_of_a_namespace_is_not_passed_over(channel: Channel) -> None:
    class Counting(NamespaceView):
        calls = 0

        def call(self, *args: Any, **options: Any) -> Any:
            self.calls += 1
            return super().call(*args, **options)

    outer = Counting(channel, b"app/")
    await NamespaceView.of(outer, b"part/").call(GET, messages.RangeRequest(key=b"k"))
    assert outer.calls == 1


# Streams -----------------------------------------------------------------------------------


class Following:
    """A handler that watches all keys, and keeps the keys of the events."""

    def __init__(self) -> None:
        self.created = asyncio.Event()
        self.events: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended_with: Any = None

    def opened(self) -> Any:
        return [messages.WatchRequest(create_request={"key": b"\0", "range_end": b"\0"})]

    def received(self, response: Any) -> None:
        self.created.set()
        for event in response.events:
            self.events.put_nowait(event.kv.key)

    def broken(self, error: Exception) -> None:
        self.created.clear()

    def ended(self, error: Exception) -> None:
        self.ended_with = error


async def test_a_stream_stays_in_the_namespace_when_it_is_opened_again(
    etcd_endpoint: str, channel: Channel, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as broken:
        following = Following()
        stream = NamespaceView(broken, key_prefix + b"in/").stream(FOLLOW, following)
        for number in range(3):
            await asyncio.wait_for(following.created.wait(), HANG)
            for name in (b"before", b"in/%d" % number, b"later"):
                await channel.call(PUT, messages.PutRequest(key=key_prefix + name))
            assert await asyncio.wait_for(following.events.get(), HANG) == b"%d" % number
            following.created.clear()
            proxy.cut()
        assert following.events.empty()
        await stream.close()
