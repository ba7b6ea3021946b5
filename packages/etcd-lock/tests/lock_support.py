"""Helpers of the lock tests."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from etcd_channel import Channel
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_lock import LockClient, ServerLockClient
from etcd_testing import EtcdServer
from etcd_watch import WatchClient

__all__ = ["PATIENT", "Program", "unary_calls", "until_queued"]

PATIENT: Final[dict[str, Any]] = {"connect_timeout": 30, "keepalive_timeout": 30, "timeout": 60}
"""Arguments of a channel whose calls do not fail if the machine stands still for seconds."""

_STARTED = re.compile(r'grpc_server_started_total{.*grpc_method="(\w+)".*grpc_type="unary"')


@dataclass
class Program:
    """The clients of one program, on a separate channel."""

    channel: Channel

    def __post_init__(self) -> None:
        self.kv = KVClient(self.channel)
        self.leases = LeaseClient(self.channel)
        self.locks = LockClient(self.channel)
        self.server_side = ServerLockClient(self.channel)


async def unary_calls(server: EtcdServer) -> Counter[str]:
    """Return how often each unary RPC was called, except health checks, by the server's metrics."""
    calls: Counter[str] = Counter()
    for name, value in (await server.metrics()).items():
        started = _STARTED.match(name)
        if started and "health" not in name:
            calls[started[1]] += int(value)
    return +calls


async def until_queued(program: Program, prefix: bytes, count: int) -> None:
    """Wait until there are `count` keys under a prefix."""
    async with WatchClient(program.channel).watch_prefix(prefix) as watch:
        while (await program.kv.get_prefix(prefix, count_only=True)).count < count:
            await asyncio.wait_for(watch.__anext__(), 60)
