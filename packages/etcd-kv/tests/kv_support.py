"""Helpers of the tests with users and their permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from etcd_testing import EtcdServer

__all__ = ["PASSWORD", "end", "server_with_users"]

PASSWORD = "a password of its own"
"""The password of each user."""


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
