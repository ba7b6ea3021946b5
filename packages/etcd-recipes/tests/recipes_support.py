"""Helpers of the recipes' tests."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock import LockClient
from etcd_recipes import RecipeClient
from etcd_testing import EtcdServer, FaultProxy

__all__ = ["PATIENCE", "PATIENT", "Program", "broken_connections", "until", "waiting"]

PATIENCE = 60.0
"""Seconds after which a test fails that waits for something."""

PATIENT: Final[dict[str, Any]] = {"connect_timeout": 30, "keepalive_timeout": 30, "timeout": 60}
"""Arguments of a channel whose calls do not fail if the machine stands still for seconds."""

_STARTED = re.compile(r'grpc_server_started_total{.*grpc_method="(\w+)".*grpc_type="unary"')


@dataclass
class Program:
    """The clients of one program, on a separate channel."""

    channel: Channel
    server: EtcdServer

    def __post_init__(self) -> None:
        self.kv = KVClient(self.channel)
        self.leases = LeaseClient(self.channel)
        self.locks = LockClient(self.channel)
        self.recipes = RecipeClient(self.channel)

    async def keys(self) -> list[bytes]:
        """All keys of the server."""
        return [found.key for found in await self.kv.get_all()]

    async def unary_calls(self) -> Counter[str]:
        """How often each unary RPC was called, except health checks, by the server's metrics."""
        calls: Counter[str] = Counter()
        for name, value in (await self.server.metrics()).items():
            started = _STARTED.match(name)
            if started and "health" not in name:
                calls[started[1]] += int(value)
        return +calls

    async def watchers(self) -> int:
        """How many watches the server has."""
        return int((await self.server.metrics())["etcd_debugging_mvcc_watcher_total"])

    async def until_watchers(self, count: int) -> None:
        """Wait until the server has that many watches."""

        async def there() -> bool:
            return await self.watchers() == count

        await until(there)

    async def nothing_is_left(self) -> None:
        """Fail if there is a key; wait until there is no watch and no lease."""
        assert await self.keys() == []
        await self.until_watchers(0)

        async def no_lease() -> bool:
            return not await self.leases.leases()

        await until(no_lease)


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait until the condition holds; it calls the server, so the loop does not spin."""

    async def check() -> None:
        while not await condition():  # noqa: ASYNC110  # only the server knows
            await asyncio.sleep(0.01)

    await asyncio.wait_for(check(), PATIENCE)


@asynccontextmanager
async def waiting(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that is awaited at the end, and cancelled if the body fails."""
    task = asyncio.create_task(work)
    try:
        yield task
        await asyncio.wait_for(asyncio.shield(task), PATIENCE)
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def broken_connections(
    proxy: FaultProxy, every: float = 0.1, *, times: int = 40
) -> AsyncIterator[None]:
    """Cut all connections again and again while the body runs.

    At most `times` times: a machine on which a connection takes longer than the pauses gets by
    with the last one.
    """

    async def cut() -> None:
        for _ in range(times):
            await asyncio.sleep(every)
            proxy.cut()

    task = asyncio.create_task(cut())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
