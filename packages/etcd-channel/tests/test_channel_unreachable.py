"""Unreachable servers: a clear error within the timeout."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar, cast

import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT

from etcd_channel import (
    Channel,
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
)
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.played import PlayedEtcd, messages

T = TypeVar("T")


async def no_hang(work: Awaitable[T]) -> T:
    """Guard against a call that never ends; nothing is measured by it."""
    return await asyncio.wait_for(work, HANG)


@pytest.fixture
async def unused_address() -> AsyncIterator[str]:
    """An address of this machine without a listener, which no process can bind."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """An address that accepts connections and never sends anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def fails(channel: Channel) -> ClientError:
    """Return the error of a read, a write, a download and connect(), which must all be alike."""
    work = (
        channel.call(PUT, messages.PutRequest(key=b"k", value=b"v")),
        channel.call(RANGE, messages.RangeRequest(key=b"k")),
        channel.download(SNAPSHOT, messages.SnapshotRequest()).__anext__(),
        channel.connect(),
    )
    found: list[Any] = await no_hang(asyncio.gather(*work, return_exceptions=True))
    await channel.close()
    for error in found:
        assert isinstance(error, ClientError)
        assert type(error) is type(found[0])
        assert error.code is found[0].code
        assert error.definite, "nothing was sent"
        assert error.endpoint in channel.endpoints
    assert [error.method for error in found[:3]] == ["KV.Put", "KV.Range", "Maintenance.Snapshot"]
    return cast("ClientError", found[0])


async def test_a_missing_server_is_a_failed_connection(unused_address: str) -> None:
    error = await fails(Channel(unused_address, connect_timeout=3))
    assert type(error) is ConnectionFailedError
    assert "Connection refused" in str(error)
    assert unused_address in str(error)


async def test_a_socket_that_does_not_exist_is_a_failed_connection() -> None:
    error = await fails(Channel("unix:/nonexistent/etcd.sock", connect_timeout=3))
    assert type(error) is ConnectionFailedError
    assert "unix:/nonexistent/etcd.sock" in str(error)


async def test_an_unknown_name_is_a_failed_connection() -> None:
    channel = Channel("nowhere.invalid:2379")
    with pytest.raises(ConnectionFailedError, match=r"nowhere\.invalid:2379") as caught:
        await no_hang(channel.call(PUT, messages.PutRequest(key=b"k")))
    assert caught.value.definite
    await channel.close()


@pytest.mark.parametrize("connect_timeout", [0.3, 1.5])
async def test_a_server_that_accepts_and_stays_silent_is_a_timeout(
    silent: str, connect_timeout: float
) -> None:
    # gRPC gives an attempt up by itself after a second, and calls again.
    error = await fails(Channel(silent, connect_timeout=connect_timeout))
    assert type(error) is ConnectionTimeoutError


async def test_a_frozen_server_is_a_timeout() -> None:
    async with EtcdServer() as server:
        await server.pause()
        error = await fails(Channel(server.endpoint, connect_timeout=0.3))
        assert type(error) is ConnectionTimeoutError


async def test_a_server_that_freezes_later_ends_a_call_by_its_timeout() -> None:
    async with EtcdServer() as server, Channel(server.endpoint) as channel:
        await channel.call(RANGE, messages.RangeRequest(key=b"k"))
        await server.pause()
        with pytest.raises(ConnectionTimeoutError) as write:
            await no_hang(channel.call(PUT, messages.PutRequest(key=b"k"), timeout=0.3))
        assert not write.value.definite, "it was sent, and may be applied when the server goes on"
        with pytest.raises(ConnectionTimeoutError) as read:
            await no_hang(channel.call(RANGE, messages.RangeRequest(key=b"k"), timeout=0.3))
        assert read.value.definite, "the connection was suspect, and was asked first"
        await server.resume()
        await channel.call(RANGE, messages.RangeRequest(key=b"k"))


async def test_a_timeout_shorter_than_the_search_for_a_member_holds(silent: str) -> None:
    async def one() -> None:
        channel = Channel(silent, connect_timeout=HANG)
        with pytest.raises(ConnectionTimeoutError) as caught:
            await channel.call(PUT, messages.PutRequest(key=b"k"), timeout=0.2)
        assert caught.value.definite
        await channel.close()

    await no_hang(one())


async def test_the_timeout_of_the_channel_holds_for_calls_that_say_none(silent: str) -> None:
    channel = Channel(silent, connect_timeout=HANG, timeout=0.2)
    with pytest.raises(ConnectionTimeoutError):
        await no_hang(channel.call(PUT, messages.PutRequest(key=b"k")))
    with pytest.raises(ConnectionTimeoutError):
        await no_hang(channel.connect())
    await channel.close()


async def test_a_very_short_timeout_is_a_timeout(silent: str) -> None:
    channel = Channel(silent)
    for work in (
        channel.call(RANGE, messages.RangeRequest(key=b"k"), timeout=1e-9),
        channel.download(SNAPSHOT, messages.SnapshotRequest(), timeout=1e-9).__anext__(),
    ):
        with pytest.raises(ConnectionTimeoutError):
            await no_hang(work)
    await channel.close()


async def test_a_black_hole_behind_an_open_connection_is_a_timeout(etcd_endpoint: str) -> None:
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as channel:
        await channel.call(RANGE, messages.RangeRequest(key=b"k"))
        proxy.black_hole()
        with pytest.raises(ConnectionTimeoutError) as caught:
            await no_hang(channel.call(PUT, messages.PutRequest(key=b"k"), timeout=0.3))
        assert not caught.value.definite


async def test_a_server_of_another_protocol_is_a_failed_connection() -> None:
    class Banter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            transport.close()

    server = await asyncio.get_running_loop().create_server(Banter, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await fails(Channel(f"127.0.0.1:{port}", connect_timeout=3))
        assert type(error) is ConnectionFailedError


async def test_a_server_without_the_health_service_is_reached() -> None:
    async def put(request: object, context: object) -> object:
        return messages.PutResponse(header={"revision": 7})

    async with PlayedEtcd({PUT: put}) as server, Channel(server.endpoint) as channel:
        response = await channel.call(PUT, messages.PutRequest(key=b"k"))
        assert response.header.revision == 7


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_one_of_several_endpoints_is_enough(
    first: int,
    unused_address: str,
    silent: str,
    etcd_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The first one is chosen at random; here each is the first one once.
    monkeypatch.setattr("os.urandom", lambda size: first.to_bytes(size, "big"))
    async with Channel([unused_address, silent, etcd_endpoint], connect_timeout=6) as channel:
        await channel.call(RANGE, messages.RangeRequest(key=b"k"))


async def test_a_lone_member_over_a_slow_link_has_the_whole_connect_timeout(
    etcd_endpoint: str,
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy:
        proxy.delay(1.6)  # Two round trips until an answer is there: more than half the time.
        async with Channel(
            proxy.endpoint, connect_timeout=12, keepalive_timeout=HANG, timeout=HANG
        ) as channel:
            await channel.call(RANGE, messages.RangeRequest(key=b"k"))


async def test_a_call_waits_for_a_server_within_the_connect_timeout(
    etcd_endpoint: str,
) -> None:
    async with FaultProxy(etcd_endpoint) as proxy:
        proxy.refuse()
        channel = Channel(proxy.endpoint, connect_timeout=HANG, timeout=HANG)
        call = asyncio.create_task(channel.call(RANGE, messages.RangeRequest(key=b"k")))
        done, _ = await asyncio.wait([call], timeout=0.3)
        assert not done
        proxy.heal()
        await no_hang(call)
        await channel.close()


async def test_unreachable_servers_leave_no_task_and_no_warning(unused_address: str) -> None:
    with pytest.raises((ConnectionFailedError, ConnectionTimeoutError)):
        async with Channel(unused_address, connect_timeout=2):
            pytest.fail("the body runs with no server")
