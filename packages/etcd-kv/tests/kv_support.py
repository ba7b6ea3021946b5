"""Helpers of the tests of etcd-kv: channels and tests with enough time, users with permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from etcd_testing import EtcdServer

__all__ = ["PASSWORD", "PATIENT", "end", "server_with_users", "with_enough_time"]

PASSWORD = "a password of its own"
"""The password of each user."""

PATIENT: Final[dict[str, Any]] = {"connect_timeout": 30, "keepalive_timeout": 30, "timeout": 60}
"""Arguments of a channel whose calls do not fail if the machine stands still for seconds."""


async def with_enough_time(test: Callable[[float], Awaitable[None]], *seconds: float) -> None:
    """Run a test with a timeout, and again with a longer one if the machine was too busy for it."""
    for timeout in seconds[:-1]:
        with suppress(AssertionError, TimeoutError):
            return await test(timeout)
    await test(seconds[-1])


@contextmanager
def server_with_users(permissions: Mapping[str, str]) -> Iterator[EtcdServer]:
    """Run a server with authentication, and users with a permission for the keys below "open/".

    `permissions` are "read" or "readwrite" for each name of a user.
    """
    server = EtcdServer()

    async def start() -> None:
        await server.start()
        for name, permission in permissions.items():
            await server.etcdctl("user", "add", f"{name}:{PASSWORD}")
            await server.etcdctl("role", "add", name)
            await server.etcdctl(
                "role", "grant-permission", "--prefix=true", name, permission, "open/"
            )
            await server.etcdctl("user", "grant-role", name, name)
        await server.enable_auth("root")

    asyncio.run(start())
    try:
        yield server
    finally:
        asyncio.run(server.close())


async def end(server: EtcdServer) -> None:
    """Kill a server; stop it if it would lose writes that it acknowledged just before."""
    await (server.kill() if server.keeps_writes_when_killed else server.stop())
