"""docs/grpc-proxy.md lists the differences through etcd's proxy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from etcd_auth import PermissionKind
from etcd_channel import ConnectionTimeoutError
from etcd_channel.errors import RequestTooLargeError, UnsupportedByServerError
from etcd_client import Client
from etcd_testing import EtcdServer, GrpcProxy

DOCUMENT = Path(__file__).parents[2] / "docs" / "grpc-proxy.md"

Check = Callable[[EtcdServer, GrpcProxy, Client], Awaitable[str]]


def table() -> dict[str, str]:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows[1:])


async def progress(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    async with client.watch(b"k") as watch:
        await client.put(b"other", b"")
        await watch.request_progress()
        answer = asyncio.ensure_future(anext(watch.responses()))
        # It repeats the request every second without an answer.
        await asyncio.wait([answer], timeout=2.5)
        if answer.done():
            return f"answered by {answer.result()}"
        answer.cancel()
        await asyncio.wait([answer])
        return "no answer"


async def refresh_of_what_is_kept_alive(
    server: EtcdServer, proxy: GrpcProxy, client: Client
) -> str:
    lease = await client.lease(18)
    # A lease is kept alive after a third of its time to live.
    await asyncio.sleep(lease.ttl / 3 + 0.5)
    await lease.keep_alive()
    for _ in range(3):
        left = lease.remaining
        while lease.remaining <= left:
            lease.check()
            left = lease.remaining
            await asyncio.sleep(0.05)
        # Unless this process or the proxy is paused, it is asked long before the next renewal.
        try:
            await client.refresh_lease(lease, timeout=1)
        except ConnectionTimeoutError:
            await client.refresh_lease(lease, timeout=60)
            return "answered when the proxy renews it, within a third of its time to live"
    return "answered at once"


async def refresh_with_authentication(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    await server.enable_auth()
    async with Client(endpoints=[proxy.endpoint], username="root", password="root") as root:
        lease = await root.lease(60)
        try:
            await root.refresh_lease(lease, timeout=2)
        except ConnectionTimeoutError:
            return "no answer since etcd 3.5.30"
    # Later versions of 3.4 may have it; these do not.
    assert tuple(map(int, server.version.split("."))) < (3, 5, 30)
    return "no answer since etcd 3.5.30"


async def promote_member(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    with pytest.raises(UnsupportedByServerError, match="not implemented"):
        await client.promote_member(1)
    return "`UnsupportedByServerError`"


async def members(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    args = ["--resolver-prefix=proxies", "--resolver-ttl=60"]
    async with GrpcProxy(server, advertise_client_url=None, args=args) as named:
        async with Client(endpoints=[named.endpoint]) as other:
            # It finds the other proxies after a while.
            found = await other.members()
            for _ in range(200):
                found = await other.members()
                if [member.client_urls for member in found] == [[named.endpoint]]:
                    assert [member.id for member in found] == [0]
                    return "the proxies, without an id"
                await asyncio.sleep(0.05)
    return f"{found}"


async def sync_endpoints(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    assert await client.sync_endpoints() == (server.endpoint,)
    return "calls go to the members from then on, past the proxy"


async def serializable(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    async with Client(endpoints=[server.endpoint]) as direct:
        await direct.user_add("user", "password")
        await direct.role_add("role")
        await direct.role_grant_permission("role", PermissionKind.READWRITE, b"own/", prefix=True)
        await direct.user_grant_role("user", "role")
    await server.enable_auth()
    async with (
        Client(endpoints=[proxy.endpoint], username="root", password="root") as root,
        Client(endpoints=[proxy.endpoint], username="user", password="password") as user,
    ):
        await root.put(b"secret", b"known")
        await root.get(b"secret", serializable=True)
        got = await user.get(b"secret", serializable=True)
    assert got is not None
    assert got.value == b"known"
    return "answered from the cache, also for users that may not read it"


async def large(server: EtcdServer, proxy: GrpcProxy, client: Client) -> str:
    for size in (1_700_000, 2_500_000):
        with pytest.raises(RequestTooLargeError) as raised:
            await client.put(b"large", b"x" * size)
        assert raised.value.definite
    return "`RequestTooLargeError`"


CHECKS: dict[str, Check] = {
    "`request_progress` while others write": progress,
    "`refresh` of a lease that is kept alive": refresh_of_what_is_kept_alive,
    "`refresh` and keep-alives with authentication": refresh_with_authentication,
    "`promote_member`": promote_member,
    "`members` of a proxy that advertises itself": members,
    "`sync_endpoints`": sync_endpoints,
    "a serializable `get` of what another user may read": serializable,
    "a request larger than 1.5 MiB": large,
}


def test_every_row_of_the_table_is_tested() -> None:
    assert list(table()) == list(CHECKS)


@pytest.mark.parametrize("what", CHECKS)
async def test_a_row_describes_the_observed_behaviour(what: str) -> None:
    async with EtcdServer() as server, GrpcProxy(server) as proxy:
        async with Client(endpoints=[proxy.endpoint]) as client:
            assert await CHECKS[what](server, proxy, client) == table()[what]
