"""A process that makes calls with some clients, driven over stdin and stdout.

python worker.py ENDPOINT CLIENT...

Each line of stdin is a round: `CLIENT OPERATION IN_FLIGHT CALLS`. The answer is one line, the
seconds that the calls took. Only what the named clients need is imported.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

# Calls that are in flight together have keys of their own.
KEYS = [b"benchmark/%d" % number for number in range(1000)]
VALUE = b"v" * 64

Operations = dict[str, Callable[[bytes], Awaitable[object]]]
"""The operations of a client, as functions of a key."""


@asynccontextmanager
async def bare(endpoint: str) -> AsyncIterator[Operations]:
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
        yield {
            "get": lambda key: get(pb.RangeRequest(key=key)),
            "put": lambda key: put(pb.PutRequest(key=key, value=VALUE)),
        }


@asynccontextmanager
async def ours(endpoint: str) -> AsyncIterator[Operations]:
    from etcd_channel import Channel
    from etcd_kv import KVClient

    async with Channel(endpoint) as channel:
        kv = KVClient(channel)
        yield {"get": kv.get, "put": lambda key: kv.put(key, VALUE)}


@asynccontextmanager
async def coalesced(endpoint: str) -> AsyncIterator[Operations]:
    from etcd_channel import Channel
    from etcd_kv import KVClient

    async with Channel(endpoint) as channel:
        kv = KVClient(channel).coalescing()
        yield {"get": kv.get, "put": lambda key: kv.put(key, VALUE)}


@asynccontextmanager
async def aetcd(endpoint: str) -> AsyncIterator[Operations]:
    import aetcd

    host, port = endpoint.rsplit(":", 1)
    async with aetcd.Client(host, int(port)) as client:
        yield {"get": client.get, "put": lambda key: client.put(key, VALUE)}


@asynccontextmanager
async def etcd3aio(endpoint: str) -> AsyncIterator[Operations]:
    # It is only in the environment of this peer.
    module: Any = importlib.import_module("etcd3aio")
    async with module.Etcd3Client([endpoint]) as client:
        yield {"get": client.kv.get, "put": lambda key: client.kv.put(key, VALUE)}


@asynccontextmanager
async def etcd_client_py(endpoint: str) -> AsyncIterator[Operations]:
    # Its module has the name of ours.
    module: Any = importlib.import_module("etcd_client")
    async with module.Client([f"http://{endpoint}"]).connect() as client:
        yield {"get": client.get, "put": lambda key: client.put(key, VALUE)}


CLIENTS: dict[str, Callable[[str], AbstractAsyncContextManager[Operations]]] = {
    "grpc.aio": bare,
    "ours": ours,
    "ours, coalesced": coalesced,
    "aetcd": aetcd,
    "etcd3aio": etcd3aio,
    "etcd-client-py": etcd_client_py,
}


async def measured(
    operation: Callable[[bytes], Awaitable[object]], in_flight: int, calls: int
) -> float:
    """Return the seconds that `calls` calls take, `in_flight` at a time."""
    todo = iter(range(calls))

    async def some() -> None:
        for number in todo:
            await operation(KEYS[number % 1000])

    # Garbage of the round before is not collected in this one.
    gc.collect()
    begun = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(in_flight)))
    return time.perf_counter() - begun


async def main(endpoint: str, *names: str) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(CLIENTS[name](endpoint)) for name in names}
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            client, operation, in_flight, calls = line.strip().split("\t")
            seconds = await measured(clients[client][operation], int(in_flight), int(calls))
            print(seconds, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
