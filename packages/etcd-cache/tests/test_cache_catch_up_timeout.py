"""`catch_up` raises one error when its time is over, whatever it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from cache_support import HANG, Program, connect, within
from google.protobuf.message import Message

from etcd_cache import CacheClient, CacheTimeoutError
from etcd_channel import (
    ChannelLike,
    ChannelView,
    ConnectionFailedError,
    ConnectionTimeoutError,
    Rpc,
)
from etcd_testing import FaultProxy

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Silent(ChannelView):
    """Does not answer reads after the next `answers`, and tells no version, if `active`."""

    def __init__(self, inner: ChannelLike) -> None:
        super().__init__(inner)
        self.active, self.answers = False, 0

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        async def call() -> ResponseT:
            if self.active and rpc.name.endswith("Status"):
                # Progress is not relied on then, so that a read follows at once.
                raise ConnectionFailedError("lost on the way")
            if self.active and rpc.name.endswith("Range"):
                self.answers -= 1
                if self.answers < 0:
                    assert timeout is not None
                    await asyncio.sleep(timeout)
                    raise ConnectionTimeoutError("silence")
            return await self.inner.call(rpc, request, timeout=timeout, endpoint=endpoint)

        return call()


@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
async def test_a_server_that_is_away_is_a_timeout_of_the_cache(
    etcd_endpoint: str, key_prefix: bytes, fault: str
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, connect(proxy.endpoint) as program:
        async with program.cache(key_prefix) as cache:
            if fault == "refuse":
                proxy.refuse()
                proxy.cut()
            else:
                proxy.black_hole()
            with pytest.raises(CacheTimeoutError, match="within the timeout") as caught:
                await within(cache.catch_up(linearizable=True, timeout=0.3))
            assert isinstance(
                caught.value.__cause__, (ConnectionTimeoutError, ConnectionFailedError)
            )
            proxy.heal()
            await cache.catch_up(linearizable=True, timeout=HANG)


@pytest.mark.parametrize("answers", [0, 1])
async def test_a_read_that_is_not_answered_is_a_timeout_of_the_cache(
    program: Program, key_prefix: bytes, answers: int
) -> None:
    view = Silent(program.channel)
    async with CacheClient(view).cache(key_prefix + b"mine/") as cache:
        await program.kv.put(key_prefix + b"other", b"")
        view.active, view.answers = True, answers
        with pytest.raises(CacheTimeoutError, match="within the timeout") as caught:
            await within(cache.catch_up(linearizable=True, timeout=0.5))
        assert isinstance(caught.value.__cause__, ConnectionTimeoutError)
        assert view.answers < 0
        view.active = False
        await cache.catch_up(linearizable=True, timeout=HANG)
