"""The spans and the durations of calls and downloads."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from etcd_channel import SRV, Channel, ClientError
from etcd_channel.errors import InvalidArgumentError
from etcd_client import Client
from etcd_kv import KVClient
from etcd_kv.rpcs import PUT, RANGE
from etcd_testing import FaultProxy
from etcd_testing.played import PlayedEtcd

from .exported import Exported, attributes_of

HANG = 60.0


async def test_a_put_has_a_span_and_a_duration(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Client(endpoints=etcd_endpoint, middleware=[exported.view]) as client:
        with exported.tracer.start_as_current_span("program") as program:
            await client.put(key_prefix, b"v")
    span = exported.span("etcdserverpb.KV/Put")
    host, _, port = etcd_endpoint.rpartition(":")
    assert attributes_of(span) == {
        "db.operation.name": "Put",
        "db.system.name": "etcd",
        "rpc.method": "etcdserverpb.KV/Put",
        "rpc.response.status_code": "OK",
        "rpc.system.name": "grpc",
        "server.address": host,
        "server.port": int(port),
    }
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is not None
    assert span.parent.span_id == program.get_span_context().span_id
    (point,) = exported.points("rpc.client.call.duration")
    assert attributes_of(point) == attributes_of(span)
    assert point.count == 1


async def test_a_call_before_the_members_are_known_has_no_address(exported: Exported) -> None:
    channel = Channel(SRV("example.com", nameservers=["127.0.0.1:1"]))
    with pytest.raises(ClientError):
        await KVClient(exported.view(channel)).get(b"k", timeout=0.1)
    await channel.close()
    attributes = attributes_of(exported.span("etcdserverpb.KV/Range"))
    assert not attributes.keys() & {"server.address", "server.port"}


async def test_the_client_of_one_service_has_spans_too(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Channel(etcd_endpoint) as channel:
        await KVClient(exported.view(channel)).get(key_prefix)
    assert [span.name for span in exported.spans()] == ["etcdserverpb.KV/Range"]


async def test_a_client_that_is_configured_as_etcdctl_has_spans_too(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    variables = {"ETCDCTL_ENDPOINTS": etcd_endpoint}
    async with Client.from_env(variables, middleware=[exported.view]) as client:
        await client.get(key_prefix)
    assert [span.name for span in exported.spans()] == ["etcdserverpb.KV/Range"]


async def test_a_client_that_is_opened_again_has_spans_again(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(endpoints=etcd_endpoint, middleware=[exported.view])
    for _ in range(2):
        async with client:
            await client.get(key_prefix)
    assert len(exported.spans("etcdserverpb.KV/Range")) == 2
    (point,) = exported.points("rpc.client.call.duration")
    assert point.count == 2
    assert caplog.records == []


async def test_an_error_of_the_server_is_the_error_of_the_span(
    exported: Exported, etcd_endpoint: str
) -> None:
    async with Client(endpoints=etcd_endpoint, middleware=[exported.view]) as client:
        with pytest.raises(InvalidArgumentError):
            await client.channel.call(PUT, PUT.request())
    span = exported.span("etcdserverpb.KV/Put")
    assert attributes_of(span)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert attributes_of(span)["error.type"] == "INVALID_ARGUMENT"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "etcdserver: key is not provided"
    (point,) = exported.points("rpc.client.call.duration")
    assert attributes_of(point) == attributes_of(span)


async def test_a_call_carries_its_span_to_the_server(exported: Exported) -> None:
    sent: list[dict[str, Any]] = []

    async def play(request: Any, context: Any) -> Any:
        sent.append(dict(context.invocation_metadata()))
        return RANGE.response()

    async with PlayedEtcd({RANGE: play}) as server, Channel(server.endpoint) as channel:
        await KVClient(exported.view(channel)).get(b"k")
        await KVClient(exported.view(exported.view(channel))).get(b"k")
        await KVClient(exported.view(channel, propagate=False)).get(b"k")
        await KVClient(channel).get(b"k")
    once, inner, *_ = exported.spans("etcdserverpb.KV/Range")
    expected = [
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
        for span in (once, inner)
        if span.context is not None
    ]
    # With other flags than 01, for sampled, etcd ignores it.
    assert [each.get("traceparent") for each in sent] == [*expected, None, None]


async def test_an_error_without_a_status_code_has_its_class(exported: Exported) -> None:
    client = Client(middleware=[exported.view])
    await client.close()
    with pytest.raises(ClientError):
        await client.get(b"k")
    span = exported.span("etcdserverpb.KV/Range")
    assert attributes_of(span)["error.type"] == "etcd_channel.errors.ClientClosedError"
    assert "rpc.response.status_code" not in attributes_of(span)


async def test_a_cancelled_call_has_a_span_and_stays_cancelled(exported: Exported) -> None:
    arrived = asyncio.Event()

    async def play(request: Any, context: Any) -> Any:
        arrived.set()
        await asyncio.Event().wait()

    async with PlayedEtcd({RANGE: play}) as server, Channel(server.endpoint) as channel:
        getting = asyncio.create_task(KVClient(exported.view(channel)).get(b"k"))
        await asyncio.wait_for(arrived.wait(), HANG)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
    span = exported.span("etcdserverpb.KV/Range")
    assert attributes_of(span)["rpc.response.status_code"] == "CANCELLED"
    assert attributes_of(span)["error.type"] == "CANCELLED"


async def test_a_retry_is_an_event_of_the_one_span_and_is_counted(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy:
        # A connection that is silent for a while is no attempt that failed.
        async with Client(
            endpoints=proxy.endpoint, middleware=[exported.view], keepalive_timeout=60
        ) as client:
            await client.put(key_prefix, b"v")
            killed = proxy.kill_next_reply()
            await client.get(key_prefix)
            await killed
    span = exported.span("etcdserverpb.KV/Range")
    assert attributes_of(span)["rpc.response.status_code"] == "OK"
    (event,) = span.events
    host, _, port = proxy.endpoint.rpartition(":")
    assert event.name == "etcd.attempt.failed"
    assert attributes_of(event) == {
        "error.type": "UNAVAILABLE",
        "etcd.attempt.number": 1,
        "etcd.attempt.repeated": True,
        "server.address": host,
        "server.port": int(port),
    }
    (point,) = exported.points("etcd.client.retries")
    assert attributes_of(point) == {
        "error.type": "UNAVAILABLE",
        "rpc.method": "etcdserverpb.KV/Range",
    }
    assert point.value == 1


async def test_a_write_that_is_not_repeated_is_no_retry(exported: Exported) -> None:
    async def play(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    async with PlayedEtcd({PUT: play}) as server, Channel(server.endpoint) as channel:
        with pytest.raises(ClientError):
            await KVClient(exported.view(channel)).put(b"k", b"v")
    (event,) = exported.span("etcdserverpb.KV/Put").events
    assert attributes_of(event)["etcd.attempt.repeated"] is False
    assert exported.points("etcd.client.retries") == []


async def test_a_download_has_a_span_that_is_not_current_in_the_code_of_its_caller(
    exported: Exported, etcd_endpoint: str
) -> None:
    async with Client(endpoints=etcd_endpoint, middleware=[exported.view]) as client:
        with exported.tracer.start_as_current_span("program"):
            await client.snapshot(io.BytesIO())
            with exported.tracer.start_as_current_span("after"):
                pass
    span, after = exported.span("etcdserverpb.Maintenance/Snapshot"), exported.span("after")
    assert attributes_of(span)["rpc.response.status_code"] == "OK"
    assert span.parent == after.parent


async def test_middleware_is_passed_in_its_order(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    """The second one is nearer to the server: its spans are within those of the first."""
    middleware = [exported.view, partial(exported.view)]
    async with Client(endpoints=etcd_endpoint, middleware=middleware) as client:
        await client.get(key_prefix)
    inner, outer = exported.spans("etcdserverpb.KV/Range")
    assert outer.context is not None
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert outer.parent is None
