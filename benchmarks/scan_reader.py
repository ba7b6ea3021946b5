"""Reads a prefix once, prints how long it took and the memory it needed.

python scan_reader.py ENDPOINT WAY PREFIX prints the seconds, and the bytes by which the resident
memory of this process was larger at the peak than before.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

from grpc import aio
from resident import highest, resident

from etcd_channel import Channel
from etcd_channel.utils import prefix_range_end
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2 as pb

TIMEOUT = 120.0


async def read(endpoint: str, way: str, prefix: bytes) -> tuple[float, int]:
    request = pb.RangeRequest(key=prefix, range_end=prefix_range_end(prefix))
    options = [("grpc.max_receive_message_length", -1)]
    async with Channel(endpoint) as channel, aio.insecure_channel(endpoint, options=options) as raw:
        kv = KVClient(channel)
        call: aio.UnaryUnaryMultiCallable[pb.RangeRequest, pb.RangeResponse] = raw.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=pb.RangeRequest.SerializeToString,
            response_deserializer=pb.RangeResponse.FromString,
        )
        # What is made only once is made before measuring.
        await call(pb.RangeRequest(key=b"none"))
        _ = [item async for item in kv.scan_prefix(b"none")]
        gc.collect()
        before = resident()
        began = time.perf_counter()
        keys = 0
        if way == "raw":
            response = await call(request, timeout=TIMEOUT)
            keys = len(response.kvs)
        elif way == "keys":
            async for _ in kv.scan_prefix(prefix, timeout=TIMEOUT):
                keys += 1
        else:
            scan = kv.scan_prefix(prefix, reverse=way == "reverse", timeout=TIMEOUT)
            async for page in scan.pages():
                keys += len(page)
        seconds = time.perf_counter() - began
        assert keys, "the prefix has no keys"
        return seconds, highest() - before


if __name__ == "__main__":
    _, endpoint, way, prefix = sys.argv
    print(*asyncio.run(read(endpoint, way, prefix.encode())))
