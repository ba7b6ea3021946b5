"""`stream_range` that is closed before its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from etcd_channel import Channel, ChannelView
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2 as pb


class Endless(ChannelView):
    """Yields parts of a stream without a server, and takes some time to close."""

    closed_by: asyncio.Task[Any] | None = None

    async def download(self, rpc: Any, request: Any, **options: Any) -> AsyncGenerator[Any, None]:
        try:
            while True:
                response = pb.RangeStreamResponse()
                response.range_response.kvs.add(key=b"key")
                yield response
        finally:
            await asyncio.sleep(0)
            self.closed_by = asyncio.current_task()


async def test_the_download_is_closed_with_the_iterator() -> None:
    channel = Channel("127.0.0.1:1")
    view = Endless(channel)
    parts = KVClient(view).stream_range(b"a", b"z")
    assert [kv.key for kv in (await anext(parts)).kvs] == [b"key"]
    await parts.aclose()
    assert view.closed_by is asyncio.current_task()
    await channel.close()
