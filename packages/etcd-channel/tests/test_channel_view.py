"""Views of a channel: what they see, what they change, and what they share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, WATCH

from etcd_channel import (
    Channel,
    ChannelView,
    ClientClosedError,
    ClientError,
    Rpc,
    Service,
    channel_of,
    errors,
)
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd, messages


class Counting(ChannelView):
    """Counts the calls, downloads and streams by the names of their RPCs."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.seen: list[str] = []

    def call(self, rpc: Any, request: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        self.seen.append(rpc.name)
        return super().call(rpc, request, **options)

    def download(self, rpc: Any, request: Any, **options: Any) -> AsyncGenerator[Any, None]:
        self.seen.append(rpc.name)
        return super().download(rpc, request, **options)

    def stream(self, rpc: Any, handler: Any, **options: Any) -> Any:
        self.seen.append(rpc.name)
        return super().stream(rpc, handler, **options)


class Prefixing(ChannelView):
    """Adds a prefix to the keys of puts and reads, and removes it from responses."""

    def __init__(self, inner: Any, prefix: bytes) -> None:
        super().__init__(inner)
        self.prefix = prefix
        self.asked: list[Any] = []

    def rpc_for(self, rpc: Any) -> Any:
        self.asked.append(rpc)
        return rpc.edited(request=self.outwards, response=self.homewards)

    def outwards(self, request: Any) -> None:
        request.key = self.prefix + request.key

    def homewards(self, response: Any) -> None:
        for kv in getattr(response, "kvs", ()):
            assert kv.key.startswith(self.prefix)
            kv.key = kv.key[len(self.prefix) :]


class Watcher:
    """A handler of a stream that watches one key and keeps the values that were put there."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.created = asyncio.Event()
        self.end: asyncio.Future[ClientError] = asyncio.get_running_loop().create_future()

    def opened(self) -> Iterable[Any]:
        return [messages.WatchRequest(create_request={"key": self.key})]

    def received(self, response: Any) -> None:
        self.created.set()

    def broken(self, error: ClientError) -> None:
        """It is opened again."""

    def ended(self, error: ClientError) -> None:
        self.end.set_result(error)


def get(key: bytes) -> Any:
    return messages.RangeRequest(key=key)


# Passing through -------------------------------------------------------------------------


def test_a_view_has_every_member_of_a_channel() -> None:
    def face(kind: type) -> dict[str, Any]:
        return {name: each for name, each in vars(kind).items() if not name.startswith("_")}

    channel, view = face(Channel), face(ChannelView)
    # A view of another channel is made as this one was; from_env makes channels.
    assert set(channel) - set(view) == {"from_env", "recreate"}
    assert set(view) - set(channel) == {"around", "inner", "observe", "rpc_for"}
    for name in set(channel) & set(view):
        assert isinstance(view[name], property) is isinstance(channel[name], property), name
        if not isinstance(view[name], property):
            of_channel = inspect.signature(channel[name]).parameters
            assert list(inspect.signature(view[name]).parameters) == list(of_channel), name


async def test_a_view_forwards_the_properties_and_methods_of_a_channel(
    etcd_server: EtcdServer,
) -> None:
    channel = Channel("127.0.0.1:1", username="joe", password="one", timeout=7)
    view = ChannelView(channel)
    assert (view.endpoints, view.timeout, view.username) == (("127.0.0.1:1",), 7.0, "joe")
    assert (view.closed, view.reconnects, view.inner) == (False, 0, channel)
    view.use_password("two")
    view.set_endpoints("127.0.0.1:2")
    assert channel.endpoints == ("127.0.0.1:2",)
    assert repr(view) == "ChannelView(Channel(127.0.0.1:2))"

    async with ChannelView(Channel(etcd_server.endpoint)) as entered:
        cleaned = asyncio.Event()

        async def clean() -> None:
            cleaned.set()

        entered.run_in_background(clean())
        await asyncio.wait_for(cleaned.wait(), HANG)
        await entered.connect()
    assert entered.closed
    assert entered.inner.closed
    with pytest.raises(ClientClosedError):
        await entered.call(RANGE, get(b"k"))
    await entered.close()


async def test_a_view_sees_calls_downloads_and_streams(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as channel:
        outer = Counting(inner := Counting(channel))
        await outer.call(PUT, messages.PutRequest(key=key_prefix, value=b"v"))
        assert [kv.value for kv in (await outer.call(RANGE, get(key_prefix), timeout=5)).kvs] == [
            b"v"
        ]
        blobs = [it.blob async for it in outer.download(SNAPSHOT, messages.SnapshotRequest())]
        assert any(blobs)
        handler = Watcher(key_prefix)
        stream = outer.stream(WATCH, handler)
        await asyncio.wait_for(handler.created.wait(), HANG)
        await stream.close()
        assert outer.seen == ["KV.Put", "KV.Range", "Maintenance.Snapshot", "Watch.Watch"]
        assert inner.seen == outer.seen
        await channel.call(RANGE, get(key_prefix))
        assert len(inner.seen) == 4


async def test_a_view_sees_a_retried_call_once() -> None:
    sent = 0

    async def answer(request: Any, context: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return messages.RangeResponse()

    async with PlayedEtcd({RANGE: answer}) as server, Channel(server.endpoint) as channel:
        view = Counting(channel)
        await view.call(RANGE, get(b"k"))
        assert (sent, view.seen) == (3, ["KV.Range"])


async def test_the_password_of_the_channel_passes_no_view() -> None:
    async with EtcdServer() as server:
        await server.etcdctl("user", "add", "joe:secret-of-joe")
        await server.etcdctl("role", "add", "all")
        await server.etcdctl("role", "grant-permission", "all", "readwrite", "--prefix", "")
        await server.etcdctl("user", "grant-role", "joe", "all")
        await server.enable_auth("of root")
        channel = Channel(server.endpoint, username="joe", password="secret-of-joe")
        async with Counting(channel) as view:
            await view.call(PUT, messages.PutRequest(key=b"k"))
            assert view.seen == ["KV.Put"]


async def test_an_edited_authenticate_rpc_needs_no_token() -> None:
    async def authenticate(request: Any, context: Any) -> Any:
        return pb.AuthenticateResponse(token="t")

    async with PlayedEtcd({AUTHENTICATE: authenticate}) as server:
        async with Channel(server.endpoint, username="a", password="b") as channel:
            assert server.calls[AUTHENTICATE.name] == 1
            rpc = AUTHENTICATE.edited(response=lambda response: None)
            await channel.call(rpc, pb.AuthenticateRequest(name="a", password="b"))
            assert server.calls[AUTHENTICATE.name] == 2


# What is shared --------------------------------------------------------------------------


def test_shared_objects_are_separate_for_each_view() -> None:
    class Common:
        def __init__(self, channel: Any) -> None:
            self.channel = channel

    channel = Channel("127.0.0.1:1")
    one, two = ChannelView(channel), ChannelView(channel)
    outer = ChannelView(one)
    for stand in (channel, one, two, outer):
        assert stand.shared(Common) is stand.shared(Common)
        assert stand.shared(Common).channel is stand


def test_a_service_is_made_on_a_channel_a_view_or_another_service() -> None:
    channel = Channel("a:1")
    view = ChannelView(channel)
    assert Service(channel).channel is channel
    assert Service(view).channel is view
    assert Service(Service(view)).channel is view
    assert repr(Service(view)) == "Service(a:1)"
    assert channel_of(Service(view)) is channel_of(view) is view
    nothing: Any
    for nothing in ("a:1", None, object(), Channel):
        with pytest.raises(TypeError, match=r"^store must be a Channel, a view or a service"):
            channel_of(nothing, "store")
        with pytest.raises(TypeError, match=r"^inner must be a Channel or a view of one, not "):
            ChannelView(nothing)


# Changing messages -----------------------------------------------------------------------


async def test_a_view_edits_messages_and_not_those_of_the_caller(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as channel:
        view = Prefixing(channel, key_prefix)
        request = messages.PutRequest(key=b"k", value=b"v")
        await view.call(PUT, request)
        await view.call(PUT, request)
        assert request.key == b"k"
        assert [kv.key for kv in (await view.call(RANGE, get(b"k"))).kvs] == [b"k"]
        found = (await channel.call(RANGE, get(key_prefix + b"k"))).kvs
        assert [(kv.key, kv.value) for kv in found] == [(key_prefix + b"k", b"v")]
        assert view.asked == [PUT, RANGE]


async def test_the_inner_one_of_stacked_views_is_nearer_to_the_server(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as channel:
        view = Prefixing(Prefixing(Prefixing(channel, key_prefix), b"b/"), b"a/")
        await view.call(PUT, messages.PutRequest(key=b"k", value=b"v"))
        assert [kv.key for kv in (await view.call(RANGE, get(b"k"))).kvs] == [b"k"]
        found = (await channel.call(RANGE, get(key_prefix + b"b/a/k"))).kvs
        assert [kv.value for kv in found] == [b"v"]


async def test_each_attempt_sends_the_same_edited_request() -> None:
    keys: list[bytes] = []

    async def answer(request: Any, context: Any) -> Any:
        keys.append(request.key)
        if len(keys) < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return messages.RangeResponse(kvs=[{"key": request.key}])

    async with PlayedEtcd({RANGE: answer}) as server, Channel(server.endpoint) as channel:
        found = (await Prefixing(channel, b"p/").call(RANGE, get(b"k"))).kvs
    assert keys == [b"p/k"] * 3
    assert [kv.key for kv in found] == [b"k"]


async def test_an_error_of_a_codec_ends_only_its_call(etcd_endpoint: str) -> None:
    def fail(message: Any) -> None:
        raise RuntimeError("the codec is ill")

    async with Channel(etcd_endpoint) as channel:
        for rpc in (RANGE.edited(request=fail), RANGE.edited(response=fail)):
            with pytest.raises(RuntimeError, match="the codec is ill"):
                await channel.call(rpc, get(b"k"))
        download = SNAPSHOT.edited(response=fail)
        with pytest.raises(RuntimeError, match="the codec is ill"):
            await channel.download(download, messages.SnapshotRequest()).__anext__()
        await channel.call(RANGE, get(b"k"))
        for rpc in (WATCH.edited(request=fail), WATCH.edited(response=fail)):
            handler = Watcher(b"k")
            channel.stream(rpc, handler)
            end = await asyncio.wait_for(handler.end, HANG)
            assert isinstance(end, errors.InternalError)
            assert "the codec is ill" in str(end)


async def test_a_response_that_cannot_be_parsed_ends_a_stream() -> None:
    def garble(rpc: Rpc[Any, Any]) -> Rpc[Any, Any]:
        return replace(rpc, decode=lambda data: messages.WatchResponse.FromString(b"\xff" + data))

    async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await requests.__anext__()
        yield messages.WatchResponse(created=True)

    async with PlayedEtcd({WATCH: answer}) as server, Channel(server.endpoint) as channel:
        handler = Watcher(b"k")
        channel.stream(garble(WATCH), handler)
        end = await asyncio.wait_for(handler.end, HANG)
        assert isinstance(end, errors.InternalError)
        assert "the response cannot be read" in str(end)
        assert not handler.created.is_set()
        assert server.calls == {WATCH.name: 1}


async def test_a_replacement_that_is_not_an_rpc_is_refused_each_time() -> None:
    class View(ChannelView):
        rpc: Any = None

        def rpc_for(self, rpc: Any) -> Any:
            return self.rpc

    view = View(Channel())
    for _ in range(2):
        with pytest.raises(TypeError, match="rpc_for must return an Rpc, not NoneType"):
            await view.call(RANGE, RANGE.request())
    with pytest.raises(TypeError, match="rpc_for must return an Rpc, not NoneType"):
        view.download(RANGE, RANGE.request())
