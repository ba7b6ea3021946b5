"""The spans of etcd itself continue the trace of the program."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from etcd_client import Client
from etcd_testing import EtcdServer
from etcd_testing.plugin import ServerFactory

from .exported import Exported

HANG = 60.0


class Collector(grpc.GenericRpcHandler):
    """Receives spans as an OpenTelemetry collector does, and waits for those of a trace."""

    def __init__(self) -> None:
        self.trace: bytes | None = None
        self.continued = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        async def export(request: bytes, context: Any) -> bytes:
            # The ids are in the message as they are.
            if self.trace is not None and self.trace in request:
                self.continued.set()
            return b""

        return grpc.unary_unary_rpc_method_handler(export)


async def test_the_spans_of_etcd_are_part_of_the_trace(
    exported: Exported, etcd_server: EtcdServer, etcd_server_factory: ServerFactory
) -> None:
    if etcd_server.version.startswith("3.4."):
        pytest.skip("this etcd has no distributed tracing")
    collector = Collector()
    receiver = grpc.aio.server()
    receiver.add_generic_rpc_handlers((collector,))
    port = receiver.add_insecure_port("127.0.0.1:0")
    await receiver.start()
    try:
        server = etcd_server_factory(
            args=[
                "--experimental-enable-distributed-tracing=true",
                f"--experimental-distributed-tracing-address=127.0.0.1:{port}",
            ]
        )
        async with Client(endpoints=server.endpoint, middleware=[exported.view]) as client:
            with exported.tracer.start_as_current_span("program") as span:
                collector.trace = span.get_span_context().trace_id.to_bytes(16, "big")
                await client.put(b"k", b"v")
            # etcd exports its spans every five seconds.
            await asyncio.wait_for(collector.continued.wait(), HANG)
    finally:
        await receiver.stop(None)
