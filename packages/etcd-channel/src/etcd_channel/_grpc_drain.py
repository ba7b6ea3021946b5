"""Waits until gRPC has reported the end of all calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from grpc import aio

__all__ = ["grpc_events_drained"]


@asynccontextmanager
async def grpc_events_drained() -> AsyncGenerator[None, None]:
    """Wait at the end until gRPC has reported the end of all cancelled calls to this event loop.

    All events of a process come through one queue. An event that arrives after its loop was
    closed raises in a callback of the next loop (grpc issue 25364). The queue is ordered, so the
    failure of a call that is made at the end arrives after all earlier events.

    The gRPC channel of that call is opened at the beginning. With the last channel of a process
    gRPC ends its threads, and it would start them again for this one.
    """
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel("unix:/", options=options) as channel:
        yield
        last: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/drain")
        try:
            await last(b"", timeout=0)
        except aio.AioRpcError:
            return
