"""The synchronous client has the same telemetry."""

from __future__ import annotations

import etcd_sync

from .exported import Exported


def test_a_call_of_a_thread_is_a_child_of_the_span_of_the_thread(
    exported: Exported, etcd_endpoint: str, key_prefix: bytes
) -> None:
    with etcd_sync.Client(endpoints=etcd_endpoint, middleware=[exported.view]) as client:
        with exported.tracer.start_as_current_span("program"):
            client.put(key_prefix, b"v")
            with client.lock(key_prefix + b"lock"):
                pass
    program = exported.span("program")
    assert program.context is not None
    for name in ("etcdserverpb.KV/Put", "Lock.acquire"):
        parent = exported.span(name).parent
        assert parent is not None
        assert parent.span_id == program.context.span_id
