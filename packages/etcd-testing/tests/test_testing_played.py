"""An etcd that answers as a test says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool

from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd, messages

RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"


@dataclass(frozen=True)
class Row:
    """What a client may know of an RPC."""

    path: str
    request: type[Any]
    response: type[Any]


async def call(endpoint: str, path: str, request: Any, response: Any) -> Any:
    """One unary call by gRPC alone, as of any client."""
    async with grpc.aio.insecure_channel(endpoint) as channel:
        method = channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return await method(request, timeout=60)


async def get(endpoint: str, key: bytes = b"k") -> Any:
    return await call(endpoint, RANGE, messages.RangeRequest(key=key), messages.RangeResponse)


async def echo(request: Any, context: Any) -> Any:
    pair = messages.KeyValue(key=request.key, value=request.key * 2)
    return messages.RangeResponse(kvs=[pair], count=1)


async def test_an_rpc_is_answered_by_its_function() -> None:
    async with PlayedEtcd({"KV.Range": echo}) as etcd:
        assert [pair.value for pair in (await get(etcd.endpoint, b"ab")).kvs] == [b"abab"]
        await get(etcd.endpoint)
        assert etcd.calls == {"KV.Range": 2}


async def test_an_answer_may_be_an_error() -> None:
    async def refuse(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

    async with PlayedEtcd({"KV.Range": refuse}) as etcd:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await get(etcd.endpoint)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert raised.value.details() == "etcdserver: no leader"


async def test_what_has_no_answer_is_what_an_old_server_lacks() -> None:
    async with PlayedEtcd() as etcd:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await get(etcd.endpoint)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert not etcd.calls


async def test_many_responses_are_yielded() -> None:
    async def snapshot(request: Any, context: Any) -> AsyncIterator[Any]:
        for left in (2, 1, 0):
            yield messages.SnapshotResponse(remaining_bytes=left, blob=b"x")

    async with (
        PlayedEtcd({"Maintenance.Snapshot": snapshot}) as etcd,
        grpc.aio.insecure_channel(etcd.endpoint) as channel,
    ):
        method = channel.unary_stream(
            SNAPSHOT,
            request_serializer=messages.SnapshotRequest.SerializeToString,
            response_deserializer=messages.SnapshotResponse.FromString,
        )
        answers = [each async for each in method(messages.SnapshotRequest())]
    assert [each.remaining_bytes for each in answers] == [2, 1, 0]


async def test_a_watch_is_a_conversation() -> None:
    async def watch(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            pair = messages.KeyValue(key=request.create_request.key)
            event = messages.Event(type="DELETE", kv=pair)
            yield messages.WatchResponse(created=True, events=[event])

    async with (
        PlayedEtcd({"Watch.Watch": watch}) as etcd,
        grpc.aio.insecure_channel(etcd.endpoint) as channel,
    ):
        stream: Any = channel.stream_stream(
            WATCH,
            request_serializer=messages.WatchRequest.SerializeToString,
            response_deserializer=messages.WatchResponse.FromString,
        )()
        for key in (b"one", b"two"):
            created = messages.WatchCreateRequest(key=key)
            await stream.write(messages.WatchRequest(create_request=created))
            answer = await stream.read()
            assert [event.kv.key for event in answer.events] == [key]
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


async def test_a_client_may_bring_messages_of_its_own() -> None:
    own = Row(RANGE, messages.PutRequest, messages.PutResponse)
    seen: list[Any] = []

    async def answer(request: Any, context: Any) -> Any:
        seen.append(request)
        return messages.PutResponse()

    async with PlayedEtcd({own: answer}) as etcd:
        await call(etcd.endpoint, RANGE, messages.PutRequest(key=b"k"), messages.PutResponse)
    assert seen == [messages.PutRequest(key=b"k")]


async def test_it_comes_back_on_its_port() -> None:
    async with PlayedEtcd({"KV.Range": echo}) as etcd:
        endpoint = etcd.endpoint
        await etcd.stop()
        with pytest.raises(grpc.aio.AioRpcError):
            await get(endpoint)
        await etcd.start()
        assert etcd.endpoint == endpoint
        assert (await get(endpoint)).count == 1
        with pytest.raises(RuntimeError, match="running already"):
            await etcd.start()
    await etcd.stop()


def test_it_has_no_address_before_it_was_started() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = PlayedEtcd().endpoint


@pytest.mark.parametrize("name", ["KV.Nothing", "Range", RANGE, ""])
def test_a_name_that_is_no_rpc_of_etcd_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"no RPC {name!r}; one is 'KV.Range'"):
        PlayedEtcd({name: echo})


@pytest.mark.parametrize("path", ["/etcdserverpb.KV/Nothing", "/other.KV/Range", "KV.Range"])
def test_a_path_that_is_none_of_etcd_is_refused(path: str) -> None:
    strange = Row(path, messages.PutRequest, messages.PutResponse)
    with pytest.raises(ValueError, match="etcd has no RPC"):
        PlayedEtcd({strange: echo})


def test_an_answer_that_cannot_be_called_is_refused() -> None:
    wrong: Any = messages.RangeResponse()
    with pytest.raises(TypeError, match=r"the answer of KV\.Range should be a function"):
        PlayedEtcd({"KV.Range": wrong})


async def test_a_real_server_understands_the_messages(
    etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    key = key_prefix.decode() + "key"
    await etcd_server.etcdctl("put", key, "value")
    answer = await get(etcd_server.endpoint, key.encode())
    assert [(pair.value, pair.version) for pair in answer.kvs] == [(b"value", 1)]
    # A compare with nothing: what is in a oneof is sent even if it is zero.
    compare = messages.Compare(target="VERSION", result="EQUAL", key=b"no such key", version=0)
    txn = messages.TxnRequest(compare=[compare])
    path = "/etcdserverpb.KV/Txn"
    assert compare.WhichOneof("target_union") == "version"
    assert (await call(etcd_server.endpoint, path, txn, messages.TxnResponse)).succeeded


def test_the_messages_are_etcds() -> None:
    assert "RangeRequest" in dir(messages)
    assert messages.LeaseGrantRequest.DESCRIPTOR.full_name == "etcdserverpb.LeaseGrantRequest"
    with pytest.raises(AttributeError, match="etcd has no message 'RangRequest'"):
        _ = messages.RangRequest


def test_no_name_is_taken_from_a_client() -> None:
    assert messages.KeyValue(key=b"k").key == b"k"
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("mvccpb.KeyValue")


@pytest.mark.parametrize("missing", ["grpc", "google.protobuf"])
def test_only_this_module_needs_grpc_and_says_so(missing: str) -> None:
    program = f"""
import sys

sys.modules[{missing!r}] = None
import etcd_testing.plugin

try:
    import etcd_testing.played
except ModuleNotFoundError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == (
        'etcd_testing.played needs grpcio and protobuf: pip install "etcd-testing[played]"\n'
    )
