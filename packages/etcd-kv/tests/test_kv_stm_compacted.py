"""Transactions that are run again because the revision of their reads was compacted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from etcd_channel import Channel, ChannelLike, ChannelView, RevisionCompactedError
from etcd_kv import KVClient, STMTransaction
from etcd_testing import EtcdServer


class AtOnce(ChannelView):
    """Returns the outcomes of the reads at a revision when `expected` of them are there.

    Before the first one is sent, the revision is compacted.
    """

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self._kv = KVClient(inner)
        self._other = b""
        self._compacted = asyncio.Event()
        self._arrived = asyncio.Event()
        self._left = 0

    def compact_before(self, expected: int, other: bytes) -> None:
        self._left, self._other = expected, other
        self._compacted.clear()
        self._arrived.clear()

    def call(self, rpc: Any, request: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        answer = super().call(rpc, request, **options)
        if rpc.name == "KV.Range" and request.revision and self._left:
            return self._held(answer)
        return answer

    async def _held(self, answer: Coroutine[Any, Any, Any]) -> Any:
        other, self._other = self._other, b""
        if other:
            await self._kv.compact((await self._kv.put(other, b"")).header.revision)
            self._compacted.set()
        await self._compacted.wait()
        try:
            return await answer
        finally:
            self._left -= 1
            if not self._left:
                self._arrived.set()
            await self._arrived.wait()


@pytest.fixture
async def view(private_server: EtcdServer) -> AsyncIterator[AtOnce]:
    async with Channel(private_server.endpoint) as channel:
        yield AtOnce(channel)


async def test_the_body_runs_again_when_several_of_its_reads_are_compacted(
    view: AtOnce, key_prefix: bytes
) -> None:
    kv = KVClient(view)
    keys = [key_prefix + b"%d" % number for number in range(9)]

    async def body(t: STMTransaction) -> int:
        await t.get(keys[0])
        if t.attempt == 1:
            view.compact_before(len(keys) - 1, key_prefix + b"other")
        assert await t.get_many(keys) == [None] * len(keys)
        return t.attempt

    # Which of the errors is raised differs from time to time.
    for _ in range(10):
        assert (await kv.stm(body)).value == 2


async def test_the_reads_of_prefetch_are_repeated_when_several_are_compacted(
    view: AtOnce, key_prefix: bytes
) -> None:
    kv = KVClient(view)
    keys = [key_prefix + b"%d" % number for number in range(9)]

    async def body(t: STMTransaction) -> int:
        assert await t.get_many(keys) == [None] * len(keys)
        return t.attempt

    for _ in range(10):
        view.compact_before(len(keys) - 1, key_prefix + b"other")
        assert (await kv.stm(body, prefetch=keys)).value == 2


async def test_every_compacted_read_of_an_attempt_raises_one_error(
    view: AtOnce, key_prefix: bytes
) -> None:
    kv = KVClient(view)
    caught: list[RevisionCompactedError] = []

    async def body(t: STMTransaction) -> int:
        await t.get(key_prefix)
        if t.attempt == 1:
            await kv.compact((await kv.put(key_prefix + b"other", b"")).header.revision)
            for number in range(2):
                with pytest.raises(RevisionCompactedError) as raised:
                    await t.get(key_prefix + b"%d" % number)
                caught.append(raised.value)
            raise caught[1]
        return t.attempt

    assert (await kv.stm(body)).value == 2
    assert caught[0] is caught[1]
    assert caught[0].__cause__ is not None
