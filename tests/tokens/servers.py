"""Servers with authentication, and users for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etcd_auth import AuthClient, PermissionKind
from etcd_channel import Channel
from etcd_testing import EtcdServer

__all__ = ["PATIENT", "Account", "AuthServer", "make_account"]

PATIENT: dict[str, Any] = {"connect_timeout": 60, "keepalive_timeout": 60, "timeout": 60}
"""The options of channels whose calls are to outlast a pause of a busy machine."""

_numbers = itertools.count()


class AuthServer(EtcdServer):
    """A server with authentication enabled, and counts of its calls.

    Its tokens are "simple", known to itself only, or with `jwt`, the flag for them, such as carry
    the revision of the users and are old after each change. They live for `ttl` seconds.
    """

    ROOT_PASSWORD = "the password of root"

    def __init__(self, *, jwt: str | None = None, ttl: int = 300, **options: Any) -> None:
        # Only at this level it logs that simple tokens expire.
        super().__init__(
            auth_token=jwt or "simple", auth_token_ttl=ttl, log_level="debug", **options
        )
        self._jwt = jwt is not None

    async def __aenter__(self) -> AuthServer:
        await super().__aenter__()
        try:
            await self.enable_auth(self.ROOT_PASSWORD)
        except BaseException:
            await self.close()
            raise
        return self

    def channel(self, username: str, password: str, **options: Any) -> Channel:
        options = PATIENT | options
        return Channel(self.endpoint, username=username, password=password, **options)

    def as_root(self) -> Channel:
        return self.channel("root", self.ROOT_PASSWORD)

    async def answers(self, method: str) -> Mapping[str, int]:
        """How often each RPC was answered with each code since the process was started."""
        found: dict[str, int] = {}
        for name, value in (await self.metrics()).items():
            if name.startswith("grpc_server_handled_total{") and f'grpc_method="{method}"' in name:
                code = name.partition('grpc_code="')[2].partition('"')[0]
                if value:
                    found[code] = int(value)
        return found

    async def authentications(self) -> int:
        """How often a token was requested since the process was started."""
        return sum((await self.answers("Authenticate")).values())

    async def refusals(self, method: str) -> int:
        """How often an RPC was not answered with OK since the process was started."""
        answers = await self.answers(method)
        return sum(answers.values()) - answers.get("OK", 0)

    async def outlive_tokens(self) -> None:
        """Return when all current tokens have expired, except those in use.

        Each use restarts the time of a simple token.
        """
        witness = await make_account(self)
        async with witness.channel() as channel:
            before = await self.authentications()
            while True:
                if self._jwt:
                    await AuthClient(channel).user_get(witness.name)
                    over = await self.authentications() > before
                else:
                    over = self._forgot(witness.name)
                if over:
                    return
                await asyncio.sleep(0.02)

    def _forgot(self, username: str) -> bool:
        return any(
            "deleted a simple token" in line and f'"user-name":"{username}"' in line
            for line in self.logs().splitlines()
        )


@dataclass(frozen=True)
class Account:
    """A user that may read and write everything under a prefix."""

    name: str
    password: str
    prefix: bytes
    server: AuthServer

    def channel(self, **options: Any) -> Channel:
        return self.server.channel(self.name, self.password, **options)


async def make_account(server: AuthServer) -> Account:
    """Make a user that no other test uses."""
    name = f"user-{next(_numbers)}"
    account = Account(name, f"the password of {name}", f"/{name}/".encode(), server)
    async with server.as_root() as channel:
        auth = AuthClient(channel)
        await auth.role_add(name)
        await auth.role_grant_permission(
            name, PermissionKind.READWRITE, account.prefix, prefix=True
        )
        await auth.user_add(name, account.password)
        await auth.user_grant_role(name, name)
    return account
