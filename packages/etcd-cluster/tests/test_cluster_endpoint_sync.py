"""`sync_endpoints` and `sync_endpoints_every`: endpoints follow the members, never to nowhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cluster_support import HANG

from etcd_channel import SRV, TLS, Channel, ChannelView, errors
from etcd_cluster import ClusterClient
from etcd_cluster._endpoint_sync import choose_endpoints
from etcd_testing import EtcdServer, FaultProxy

NOWHERE = "http://127.0.0.1:1"
"""A client URL at which no server listens."""


class Counting(ChannelView):
    """Counts calls, and raises `refused` if it is set."""

    def __init__(self, inner: Channel) -> None:
        super().__init__(inner)
        self.calls = 0
        self.refused: errors.ClientError | None = None
        self.called = asyncio.Event()

    async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
        self.calls += 1
        self.called.set()
        if self.refused is not None:
            raise self.refused
        return await super().call(rpc, request, **options)

    async def some_more_calls(self) -> None:
        enough = self.calls + 6
        while self.calls < enough:
            self.called.clear()
            await asyncio.wait_for(self.called.wait(), HANG)


async def until(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110  # endpoints have no event
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), HANG)


def advertising(*urls: str) -> EtcdServer:
    return EtcdServer(args=[f"--advertise-client-urls={','.join(urls)}"])


@pytest.fixture
async def proxied() -> AsyncIterator[tuple[EtcdServer, FaultProxy]]:
    """A server that advertises the address of a proxy in front of it."""
    async with (
        FaultProxy("127.0.0.1:1") as proxy,
        advertising(f"http://{proxy.endpoint}") as server,
    ):
        proxy.upstream = server.endpoint
        yield server, proxy


# The choice ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "members", "reached", "chosen"),
    [
        pytest.param("a:1", "http://a:1", "", "a:1", id="the same, with its scheme"),
        pytest.param("a:1", "http://a:1 http://b:1", "http://b:1", "a:1 http://b:1", id="added"),
        pytest.param("a:1 b:1", "http://b:1", "", "b:1", id="removed"),
        pytest.param("a:1 b:1", "a:1 c:1", "c:1", "a:1 c:1", id="replaced"),
        pytest.param("x:1", "a:1 b:1", "a:1 b:1", "a:1 b:1", id="other addresses"),
        pytest.param("x:1 y:1", "a:1 b:1", "a:1", "x:1 y:1 a:1", id="one cannot be reached"),
        pytest.param("x:1 y:1", "a:1 b:1", "", None, id="none can be reached"),
        pytest.param("a:1 b:1", "a:1,x:1 b:1,y:1", "x:1", "a:1 x:1 b:1", id="several URLs"),
        pytest.param("a:1 b:1 c:1", "l:1 l:1 l:1", "", None, id="all advertise localhost"),
    ],
)
def test_endpoints_are_only_members_that_are_reached(
    present: str, members: str, reached: str, chosen: str | None
) -> None:
    urls = [member.split(",") for member in members.split()]
    result = choose_endpoints(present.split(), urls, reached.split())
    assert result == (None if chosen is None else chosen.split())


# With a server -----------------------------------------------------------------------------


async def test_a_url_at_which_no_member_answers_does_not_become_an_endpoint() -> None:
    async with (
        advertising(NOWHERE) as server,
        Channel(server.endpoint, connect_timeout=5) as channel,
    ):
        with pytest.raises(errors.NotFoundError, match=f"it advertises: {NOWHERE}"):
            await ClusterClient(channel).sync_endpoints()
        assert channel.endpoints == (server.endpoint,)


async def test_a_url_of_another_cluster_does_not_become_an_endpoint(server: EtcdServer) -> None:
    # As http://localhost:2379, etcd's default, is where another etcd runs.
    async with advertising(server.url) as other, Channel(other.endpoint) as channel:
        with pytest.raises(errors.NotFoundError, match="no member answers"):
            await ClusterClient(channel).sync_endpoints()
        assert channel.endpoints == (other.endpoint,)


async def test_a_url_without_tls_does_not_become_an_endpoint_of_a_channel_with_tls() -> None:
    server = EtcdServer(tls=True, args=["--advertise-client-urls=http://localhost:1"])
    async with server:
        assert server.tls is not None
        async with Channel(server.endpoint, tls=TLS(ca_cert=server.tls.ca)) as channel:
            with pytest.raises(errors.NotFoundError, match="no member answers"):
                await ClusterClient(channel).sync_endpoints()
            assert channel.addresses == (server.endpoint,)


async def test_the_first_endpoints_are_asked_when_no_present_one_answers(
    proxied: tuple[EtcdServer, FaultProxy],
) -> None:
    server, proxy = proxied
    async with Channel(server.endpoint, connect_timeout=3) as channel:
        cluster = ClusterClient(channel)
        assert await cluster.sync_endpoints() == (proxy.endpoint,)
        proxy.refuse()
        proxy.cut()
        with pytest.raises(errors.ConnectionFailedError):
            await cluster.members()
        assert await cluster.sync_endpoints() == (proxy.endpoint,)
        channel.set_endpoints("127.0.0.1:1")
        with pytest.raises(errors.ConnectionFailedError):
            await cluster.sync_endpoints()  # the user has set this one: it is the first one now


class Records(SRV):
    """Finds one endpoint, without DNS."""

    endpoint = ""

    async def lookup(self, *, timeout: float = 5.0) -> tuple[str, ...]:
        return (self.endpoint,)


async def test_the_endpoints_of_srv_records_are_first_ones_too(
    proxied: tuple[EtcdServer, FaultProxy],
) -> None:
    server, proxy = proxied
    records = Records("example.com")
    records.endpoint = server.endpoint
    channel = Channel(records)
    cluster = ClusterClient(channel)
    # The first call of the channel, which looks the records up.
    assert await cluster.sync_endpoints() == (proxy.endpoint,)
    proxy.refuse()
    proxy.cut()
    assert await cluster.sync_endpoints() == (proxy.endpoint,)
    await channel.close()


# At an interval ------------------------------------------------------------------------------


async def test_a_sync_at_an_interval_begins_with_the_first_use_and_ends_with_the_channel(
    proxied: tuple[EtcdServer, FaultProxy],
) -> None:
    server, proxy = proxied
    channel = Channel(server.endpoint)
    view = Counting(channel)
    ClusterClient(view).sync_endpoints_every(0.02)
    await asyncio.sleep(0)
    assert view.calls == 0
    await channel.connect()
    await until(lambda: channel.endpoints == (proxy.endpoint,))
    await view.some_more_calls()
    await channel.close()
    calls = view.calls
    await asyncio.sleep(0.1)
    assert view.calls == calls


@pytest.mark.parametrize("kind", [errors.PermissionDeniedError, errors.NoLeaderError])
async def test_a_failing_sync_is_tried_again_and_logged_once(
    kind: type[errors.ClientError], server: EtcdServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "etcd_cluster")
    async with Channel(f"{server.endpoint},127.0.0.1:1") as channel:
        view = Counting(channel)
        view.refused = kind("not now", definite=True)
        ClusterClient(view).sync_endpoints_every(0.02)
        await view.some_more_calls()
        assert len(channel.endpoints) == 2
        view.refused = None
        await until(lambda: channel.endpoints == (server.endpoint,))
    own = [each for each in caplog.records if each.name == "etcd_cluster"]
    assert len([each for each in own if each.levelno >= logging.WARNING]) == 1
    assert "the next try follows: not now" in caplog.text
    assert f"the endpoints are now {server.endpoint}" in caplog.text


async def test_an_interval_is_changed_by_another_call(channel: Channel) -> None:
    view = Counting(channel)
    cluster = ClusterClient(view)
    cluster.sync_endpoints_every(0.01)
    cluster.sync_endpoints_every(1e6)
    await until(lambda: view.calls == 1)
    await asyncio.sleep(0.1)
    assert view.calls == 1


@pytest.mark.parametrize(
    ("interval", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (None, TypeError)]
)
def test_an_invalid_interval_is_refused(interval: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="interval"):
        ClusterClient(Channel("localhost:1")).sync_endpoints_every(interval)
