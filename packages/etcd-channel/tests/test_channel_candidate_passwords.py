"""Several passwords that may have replaced the present one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from channel_support import RANGE

from etcd_channel import Channel, errors
from etcd_testing import EtcdServer
from etcd_testing.played import messages

PASSWORD = "correct-horse-battery"
GET = messages.RangeRequest(key=b"k")


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A server with authentication, where the user joe has all permissions."""
    async with EtcdServer() as server:
        await server.etcdctl("user", "add", f"joe:{PASSWORD}")
        await server.etcdctl("role", "add", "all")
        await server.etcdctl("role", "grant-permission", "all", "readwrite", "--prefix", "")
        await server.etcdctl("user", "grant-role", "joe", "all")
        await server.enable_auth("of root")
        yield server


async def change(server: EtcdServer, password: str) -> None:
    await server.etcdctl("user", "passwd", "joe", "--interactive=false", stdin=password)


async def authentications(server: EtcdServer) -> int:
    metrics = await server.metrics()
    return int(
        sum(
            value
            for name, value in metrics.items()
            if name.startswith("grpc_server_handled_total{") and '"Authenticate"' in name
        )
    )


@pytest.mark.parametrize("applied", ["first", "second", "third"])
async def test_each_password_that_may_have_been_set_is_tried(
    server: EtcdServer, applied: str
) -> None:
    async with Channel(server.endpoint, username="joe", password=PASSWORD) as channel:
        await channel.call(RANGE, GET)
        for password in ("first", "second", "third"):
            channel.use_password(password, if_refused=True)
        await change(server, applied)
        await channel.call(RANGE, GET)


async def test_a_password_stays_possible_when_an_older_one_is_accepted(
    server: EtcdServer,
) -> None:
    async with Channel(server.endpoint, username="joe", password=PASSWORD) as channel:
        await channel.call(RANGE, GET)
        channel.use_password("first", if_refused=True)
        channel.use_password("second", if_refused=True)
        await change(server, "first")
        await channel.call(RANGE, GET)
        await change(server, "second")
        await channel.call(RANGE, GET)
        # The older ones have been replaced.
        await change(server, "first")
        before = await authentications(server)
        with pytest.raises(errors.AuthFailedError):
            await channel.call(RANGE, GET)
        assert await authentications(server) - before == 1


async def test_a_password_that_was_set_ends_those_before_it(server: EtcdServer) -> None:
    async with Channel(server.endpoint, username="joe", password=PASSWORD) as channel:
        await channel.call(RANGE, GET)
        for password in ("first", "second", "third"):
            channel.use_password(password, if_refused=True)
        channel.use_password("second")
        await change(server, "first")
        before = await authentications(server)
        with pytest.raises(errors.AuthFailedError) as caught:
            await channel.call(RANGE, GET)
        assert await authentications(server) - before == 2
        assert "second" not in repr(caught.value) + str(caught.value)
        await change(server, "third")
        await channel.call(RANGE, GET)


async def test_a_refusal_costs_a_limited_number_of_authentications(server: EtcdServer) -> None:
    async with Channel(server.endpoint, username="joe", password=PASSWORD) as channel:
        await channel.call(RANGE, GET)
        for number in range(40):
            channel.use_password(f"possible-{number}", if_refused=True)
        await change(server, "unknown")
        before = await authentications(server)
        with pytest.raises(errors.AuthFailedError):
            await channel.call(RANGE, GET)
        assert await authentications(server) - before == 9
        await change(server, "possible-39")
        await channel.call(RANGE, GET)
