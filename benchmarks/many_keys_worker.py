"""A process that writes and reads many keys with one client, driven over stdin and stdout.

python many_keys_worker.py ENDPOINT CLIENT

Each line of stdin is a round: `OPERATION KEYS`. The answer is one line, the seconds that it took.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

VALUE = b"v" * 64
IN_FLIGHT = 64

Operations = dict[str, Callable[[int], Awaitable[object]]]


def prefix(count: int) -> bytes:
    return b"bulk/%d/" % count


def keys(count: int) -> Iterable[bytes]:
    return (b"%s%08d" % (prefix(count), number) for number in range(count))


@asynccontextmanager
async def ours(endpoint: str) -> AsyncIterator[Operations]:
    from grpc import aio

    from etcd_channel import Channel
    from etcd_kv import KVClient
    from etcd_kv.pb import kv_pb2 as pb

    options = [("grpc.max_receive_message_length", -1)]
    async with Channel(endpoint) as channel, aio.insecure_channel(endpoint, options=options) as raw:
        kv = KVClient(channel)
        bare: aio.UnaryUnaryMultiCallable[pb.RangeRequest, pb.RangeResponse] = raw.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=pb.RangeRequest.SerializeToString,
            response_deserializer=pb.RangeResponse.FromString,
        )

        async def scan(count: int) -> None:
            seen = 0
            async for one in kv.scan_prefix(prefix(count)):
                seen += len(one.value) == 64
            assert seen == count, seen

        async def range_(count: int) -> None:
            start = prefix(count)
            end = start[:-1] + bytes([start[-1] + 1])
            response = await bare(pb.RangeRequest(key=start, range_end=end))
            seen = 0
            for one in response.kvs:
                seen += len(one.value) == 64
            assert seen == count, seen

        yield {
            "put": lambda count: kv.put_many((key, VALUE) for key in keys(count)),
            "get": lambda count: kv.get_many(keys(count)),
            "scan": scan,
            "range": range_,
        }


@asynccontextmanager
async def aetcd(endpoint: str) -> AsyncIterator[Operations]:
    import aetcd

    host, port = endpoint.rsplit(":", 1)
    async with aetcd.Client(host, int(port)) as client:

        async def put(count: int) -> None:
            todo = iter(keys(count))

            async def some() -> None:
                for key in todo:
                    await client.put(key, VALUE)

            await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))

        yield {"put": put}


CLIENTS: dict[str, Callable[[str], AbstractAsyncContextManager[Operations]]] = {
    "ours": ours,
    "aetcd": aetcd,
}


async def main(endpoint: str, name: str) -> None:
    loop = asyncio.get_running_loop()
    async with CLIENTS[name](endpoint) as operations:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            operation, count = line.split()
            gc.collect()  # the garbage of the round before
            begun = time.perf_counter()
            await operations[operation](int(count))
            print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
