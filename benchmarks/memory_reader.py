"""Reads a prefix and prints the memory it took: python memory_reader.py ENDPOINT WAY PREFIX."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys

from grpc import aio
from resident import highest, resident

from etcd_cache import CacheClient
from etcd_channel import Channel, KeyValue
from etcd_kv import GetRange, KVClient
from etcd_kv.pb import kv_pb2 as pb


async def main(endpoint: str, way: str, prefix: str) -> None:
    start = prefix.encode()
    end = start[:-1] + bytes([start[-1] + 1])
    options = [("grpc.max_receive_message_length", -1)]
    async with (
        Channel(endpoint) as channel,
        aio.insecure_channel(endpoint, options=options) as raw,
        contextlib.AsyncExitStack() as holding,
    ):
        kv = KVClient(channel)
        read: aio.UnaryUnaryMultiCallable[pb.RangeRequest, pb.RangeResponse] = raw.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=pb.RangeRequest.SerializeToString,
            response_deserializer=pb.RangeResponse.FromString,
        )
        # What is made only once is made before measuring.
        await kv.get(b"none")
        await read(pb.RangeRequest(key=b"none"))
        gc.collect()
        before = resident()
        raw_response: pb.RangeResponse | None = None
        result: GetRange | list[KeyValue] | None = None
        if way == "raw":
            raw_response = await read(pb.RangeRequest(key=start, range_end=end))
        elif way == "cache":
            await holding.enter_async_context(CacheClient(channel).cache(start))
        else:
            result = await kv.get_prefix(start)
            if way == "iterated":
                for one in result:
                    assert len(one.value) == 100
            elif way == "listed":
                result = list(result)
        # The call is released in the next turns of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        held, peak = resident() - before, highest() - before
        print(held, peak, 0 if raw_response is None else raw_response.ByteSize())
        del result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
