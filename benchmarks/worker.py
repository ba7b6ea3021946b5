"""The process that calls: some clients, driven round by round over stdin and stdout.

python worker.py ENDPOINT CLIENT...

Each line of stdin is a round: `CLIENT OPERATION IN_FLIGHT CALLS`. The answer is one line, the
seconds that the calls took. Only what the named clients need is imported.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

KEY = b"benchmark"
VALUE = b"v" * 64

Operations = dict[str, Callable[[], Awaitable[object]]]
"""What a client can do, as a call without arguments."""


@asynccontextmanager
async def bare(endpoint: str, timeout: float | None = None) -> AsyncIterator[Operations]:
    """gRPC's own multicallable on a channel with default options, with our messages."""
    from grpc import aio

    from etcd_kv.pb import kv_pb2 as pb

    async with aio.insecure_channel(endpoint) as channel:
        get: aio.UnaryUnaryMultiCallable[pb.RangeRequest, pb.RangeResponse] = channel.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=pb.RangeRequest.SerializeToString,
            response_deserializer=pb.RangeResponse.FromString,
        )
        put: aio.UnaryUnaryMultiCallable[pb.PutRequest, pb.PutResponse] = channel.unary_unary(
            "/etcdserverpb.KV/Put",
            request_serializer=pb.PutRequest.SerializeToString,
            response_deserializer=pb.PutResponse.FromString,
        )
        if timeout is None:
            yield {
                "get": lambda: get(pb.RangeRequest(key=KEY)),
                "put": lambda: put(pb.PutRequest(key=KEY, value=VALUE)),
            }
        else:
            yield {
                "get": lambda: get(pb.RangeRequest(key=KEY), timeout=timeout),
                "put": lambda: put(pb.PutRequest(key=KEY, value=VALUE), timeout=timeout),
            }


@asynccontextmanager
async def ours(endpoint: str) -> AsyncIterator[Operations]:
    from etcd_channel import Channel
    from etcd_kv import KVClient

    async with Channel(endpoint) as channel:
        kv = KVClient(channel)
        yield {"get": lambda: kv.get(KEY), "put": lambda: kv.put(KEY, VALUE)}


@asynccontextmanager
async def aetcd(endpoint: str) -> AsyncIterator[Operations]:
    import aetcd

    host, port = endpoint.rsplit(":", 1)
    async with aetcd.Client(host, int(port)) as client:
        yield {"get": lambda: client.get(KEY), "put": lambda: client.put(KEY, VALUE)}


CLIENTS: dict[str, Callable[[str], AbstractAsyncContextManager[Operations]]] = {
    "grpc.aio": bare,
    # As ours, each call with a deadline.
    "grpc.aio+deadline": partial(bare, timeout=10),
    "etcd-kv": ours,
    "aetcd": aetcd,
}


async def measured(operation: Callable[[], Awaitable[object]], in_flight: int, calls: int) -> float:
    """The seconds that so many calls take, so many at a time."""

    async def some(calls: int) -> None:
        for _ in range(calls):
            await operation()

    shares = [calls // in_flight + (number < calls % in_flight) for number in range(in_flight)]
    # The round before leaves nothing to clean up in this one.
    gc.collect()
    begun = time.perf_counter()
    await asyncio.gather(*map(some, shares))
    return time.perf_counter() - begun


async def main(endpoint: str, *names: str) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(CLIENTS[name](endpoint)) for name in names}
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            client, operation, in_flight, calls = line.split()
            seconds = await measured(clients[client][operation], int(in_flight), int(calls))
            print(seconds, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
