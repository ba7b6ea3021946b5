"""Reads a prefix and tells what memory that took: python memory_reader.py ENDPOINT WAY PREFIX."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from pathlib import Path

from grpc import aio

from etcd_channel import Channel, KeyValue
from etcd_kv import GetRange, KVClient
from etcd_kv.pb import kv_pb2 as pb


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main(endpoint: str, way: str, prefix: str) -> None:
    start = prefix.encode()
    end = start[:-1] + bytes([start[-1] + 1])
    options = [("grpc.max_receive_message_length", -1)]
    async with Channel(endpoint) as channel, aio.insecure_channel(endpoint, options=options) as raw:
        kv = KVClient(channel)
        read: aio.UnaryUnaryMultiCallable[pb.RangeRequest, pb.RangeResponse] = raw.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=pb.RangeRequest.SerializeToString,
            response_deserializer=pb.RangeResponse.FromString,
        )
        # Everything that is made once is made before.
        await kv.get(b"none")
        await read(pb.RangeRequest(key=b"none"))
        gc.collect()
        before, highest_before = resident(), highest()
        raw_response: pb.RangeResponse | None = None
        result: GetRange | list[KeyValue] | None = None
        if way == "raw":
            raw_response = await read(pb.RangeRequest(key=start, range_end=end))
        else:
            result = await kv.get_prefix(start)
            if way == "iterated":
                for one in result:
                    assert len(one.value) == 100
            elif way == "listed":
                result = list(result)
        # What brought the response is let go in the next turns of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        grown, peak = resident() - before, highest() - highest_before
        print(grown, max(grown, peak), 0 if raw_response is None else raw_response.ByteSize())
        del result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
