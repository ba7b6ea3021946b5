"""Helpers of the tests of calls that share transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import Any

from etcd_channel import ChannelLike, ChannelView
from etcd_kv import KVClient
from etcd_kv._coalescing_versions import is_safe
from etcd_testing import binary_version, find_binary

__all__ = ["Recorder", "gets_are_shared", "until_gets_are_shared"]


@cache
def gets_are_shared() -> bool:
    """Whether the version of etcd under test is one with which gets are coalesced."""
    return is_safe(binary_version(find_binary()))


class Recorder(ChannelView):
    """Records the RPCs that are called through it."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.calls: list[str] = []
        self.sizes: list[int] = []

    def call(self, rpc: Any, request: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        if rpc.name != "Maintenance.Status":
            self.calls.append(rpc.name)
            self.sizes.append(len(request.success) if rpc.name == "KV.Txn" else 1)
        return super().call(rpc, request, **options)

    def forget(self) -> None:
        self.calls.clear()
        self.sizes.clear()


async def until_gets_are_shared(client: KVClient, sent: Recorder, key_prefix: bytes) -> None:
    while gets_are_shared():
        await asyncio.gather(*(client.get(key_prefix) for _ in range(4)))
        if "KV.Txn" in sent.calls:
            break
    # So that the next call is sent at once.
    await client.get(key_prefix)
    await client.put(key_prefix, b"")
    await client.put(key_prefix, b"")
    await client.delete(key_prefix)
    sent.forget()
