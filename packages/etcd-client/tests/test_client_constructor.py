"""The documented constructor: what it takes, what it refuses, and that it opens nothing."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import aetcd
from etcd_client import (
    TLS,
    Client,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionTimeoutError,
)
from etcd_testing import EtcdServer


def host_and_port(endpoint: str) -> tuple[str, int]:
    host, port = endpoint.rsplit(":", 1)
    return host, int(port)


async def test_the_documented_arguments_may_be_given_by_position(etcd_endpoint: str) -> None:
    host, port = host_and_port(etcd_endpoint)
    options = {"grpc.primary_user_agent": "a test"}
    async with Client(host, port, None, None, 5, options, 3) as client:
        assert client.channel.endpoints == (etcd_endpoint,)
        assert client.channel.timeout == 5
        await client.get(b"key")


async def test_the_documented_arguments_may_be_given_by_name(etcd_endpoint: str) -> None:
    host, port = host_and_port(etcd_endpoint)
    async with Client(
        host=host,
        port=port,
        username=None,
        password=None,
        timeout=5,
        options=None,
        connect_wait_timeout=3,
    ) as client:
        await client.get(b"key")


def test_without_arguments_it_is_for_the_member_on_this_machine() -> None:
    client = Client()
    assert client.channel.endpoints == ("localhost:2379",)
    assert client.channel.timeout == 10
    assert repr(client) == "Client(localhost:2379)"


def test_beyond_the_documented_arguments_everything_is_named() -> None:
    beyond = list(inspect.signature(Client).parameters.values())[7:]
    assert {parameter.name for parameter in beyond} >= {"endpoints", "tls"}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in beyond)
    assert all(parameter.default is None for parameter in beyond)


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("example.org", "example.org:2379"),
        ("127.0.0.1", "127.0.0.1:2379"),
        ("::1", "[::1]:2379"),
        ("[::1]", "[::1]:2379"),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str, endpoint: str) -> None:
    assert Client(host).channel.endpoints == (endpoint,)


async def test_several_endpoints_stand_in_place_of_host_and_port(etcd_endpoint: str) -> None:
    async with Client(endpoints=["127.0.0.1:1", etcd_endpoint]) as client:
        assert client.channel.endpoints == ("127.0.0.1:1", etcd_endpoint)
        await client.get(b"key")


@pytest.mark.parametrize(
    ("arguments", "kind", "complaint"),
    [
        ({"host": 7}, TypeError, "host must be a str, not int"),
        ({"host": None}, TypeError, "host must be a str, not NoneType"),
        ({"host": ""}, ValueError, "host must not be empty"),
        ({"host": "two words"}, ValueError, "endpoint 'two words:2379'"),
        ({"port": 0}, ValueError, "port must be at least 1, not 0"),
        ({"port": 70000}, ValueError, "port must be at most 65535, not 70000"),
        ({"port": "2379"}, TypeError, "port must be an int, not str: '2379'"),
        ({"port": True}, TypeError, "port must be an int, not bool: True"),
        ({"username": "root"}, ValueError, "username was given without password"),
        ({"password": "secret"}, ValueError, "password was given without username"),
        ({"username": "", "password": "secret"}, ValueError, "username must not be empty"),
        ({"username": 7, "password": "secret"}, TypeError, "username must be a str, not int"),
        ({"username": "root", "password": b"secret"}, TypeError, "password must be a str"),
        ({"timeout": 0}, ValueError, "timeout must be a positive, finite number of seconds"),
        ({"timeout": -1}, ValueError, "timeout must be a positive, finite number of seconds"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds, not str: '5'"),
        ({"connect_wait_timeout": 0}, ValueError, "connect_wait_timeout must be a positive"),
        ({"connect_wait_timeout": None}, TypeError, "connect_wait_timeout must be a number"),
        ({"options": [("a", 1)]}, TypeError, "options must be a mapping"),
        ({"options": {1: 1}}, TypeError, "options must have str keys"),
        ({"options": {"a": None}}, TypeError, "options: a must be an int or a str"),
        (
            {"host": "a", "endpoints": "b"},
            ValueError,
            "endpoints stand in place of host and port",
        ),
        (
            {"port": 2380, "endpoints": "b"},
            ValueError,
            "endpoints stand in place of host and port",
        ),
        ({"endpoints": []}, ValueError, "endpoints must not be empty"),
        ({"endpoints": "ftp://a"}, ValueError, "endpoint 'ftp://a': unknown scheme"),
        ({"endpoints": 7}, TypeError, "endpoints must be a str or a sequence"),
        ({"tls": True}, TypeError, "tls must be a TLS, not bool"),
        (
            {"endpoints": "http://a", "tls": TLS()},
            ValueError,
            "endpoint 'http://a:2379' is without TLS, but tls was given",
        ),
    ],
)
def test_what_it_cannot_use_it_refuses_by_name(
    arguments: dict[str, Any], kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind) as caught:
        Client(**arguments)
    assert str(caught.value).startswith(complaint), str(caught.value)
    assert "secret" not in str(caught.value)


async def test_nothing_is_opened_before_it_is_needed() -> None:
    client = Client("127.0.0.1", 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await client.close()


async def test_it_works_without_connect(etcd_endpoint: str) -> None:
    client = aetcd.Client(*host_and_port(etcd_endpoint))
    await client.get(b"key")
    await client.close()


async def test_it_may_be_connected_more_than_once(etcd_endpoint: str) -> None:
    client = Client(*host_and_port(etcd_endpoint))
    await client.connect()
    await client.connect()
    await asyncio.gather(*(client.get(b"key") for _ in range(10)))
    await client.close()


async def test_it_may_be_closed_more_than_once_and_stays_closed(etcd_endpoint: str) -> None:
    client = Client(*host_and_port(etcd_endpoint))
    await client.connect()
    await client.close()
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.get(b"key")
    with pytest.raises(ClientClosedError):
        await client.connect()


async def test_nobody_there_is_an_error_within_the_time_to_connect() -> None:
    client = Client("127.0.0.1", 1, connect_wait_timeout=1)
    try:
        with pytest.raises(ConnectionFailedError) as caught:
            await asyncio.wait_for(client.connect(), 30)
        assert caught.value.definite
    finally:
        await client.close()


async def test_a_silent_server_is_an_error_within_the_timeout(lone_server: EtcdServer) -> None:
    async with Client(*host_and_port(lone_server.endpoint), timeout=1) as client:
        await lone_server.pause()
        try:
            with pytest.raises(ConnectionTimeoutError):
                await asyncio.wait_for(client.put(b"key", b"value"), 30)
        finally:
            await lone_server.resume()


@pytest.fixture
async def lone_server() -> Any:
    async with EtcdServer() as server:
        yield server


async def test_user_and_password_are_used(lone_server: EtcdServer) -> None:
    await lone_server.enable_auth("root's own")
    host, port = host_and_port(lone_server.endpoint)
    async with Client(host, port, "root", "root's own") as client:
        await client.put(b"key", b"value")
        assert "root's own" not in repr(client) + repr(client.channel)


async def test_every_service_stands_on_the_one_channel(etcd_endpoint: str) -> None:
    """No name of one service hides that of another."""
    services = [each for each in Client.__mro__ if each.__module__.startswith("etcd_")]
    seen: dict[str, type] = {}
    for service in services[1:]:
        for name in vars(service):
            if not name.startswith("_"):
                assert name not in seen, f"{name} of {service} and {seen[name]}"
                seen[name] = service
    assert len(services) > 5
