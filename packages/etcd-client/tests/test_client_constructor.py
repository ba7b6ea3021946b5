"""The documented constructor, connecting and closing."""

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
    KeyspaceClient,
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


def test_the_default_endpoint_is_localhost() -> None:
    client = Client()
    assert client.channel.endpoints == ("localhost:2379",)
    assert client.channel.timeout == 10
    assert repr(client) == "Client(localhost:2379)"


def test_undocumented_arguments_are_keyword_only() -> None:
    beyond = list(inspect.signature(Client).parameters.values())[7:]
    assert {parameter.name for parameter in beyond} >= {"endpoints", "tls", "http_proxy"}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in beyond)
    assert all(parameter.default is not parameter.empty for parameter in beyond)


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("example.org", "example.org:2379"),
        ("127.0.0.1", "127.0.0.1:2379"),
        ("::1", "[::1]:2379"),
        ("dns:///example.org", "example.org:2379"),
        ("ipv4:127.0.0.1", "127.0.0.1:2379"),
        ("[::1]", "[::1]:2379"),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str, endpoint: str) -> None:
    assert Client(host).channel.endpoints == (endpoint,)


@pytest.mark.parametrize(("username", "password"), [(None, None), ("", None), (None, "")])
def test_an_empty_user_without_a_password_means_no_user(username: Any, password: Any) -> None:
    assert Client(username=username, password=password).channel.username is None


async def test_a_port_may_be_a_str(etcd_endpoint: str) -> None:
    host, port = etcd_endpoint.rsplit(":", 1)
    async with Client(host, port, connect_wait_timeout=None) as client:
        assert client.channel.endpoints == (etcd_endpoint,)
        await client.get(b"key")


async def test_endpoints_replace_host_and_port(etcd_endpoint: str) -> None:
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
        (
            {"host": "127.0.0.1:2379"},
            ValueError,
            "host must be a name or an address, without a port: give host and port, or"
            " endpoints='127.0.0.1:2379'",
        ),
        ({"host": "localhost:23"}, ValueError, "host must be a name or an address, without a port"),
        ({"host": "[::1]:2379"}, ValueError, "host must be a name or an address, without a port"),
        (
            {"host": "http://127.0.0.1:2379"},
            ValueError,
            "host must be a name or an address, not a URL: give host and port, or"
            " endpoints='http://127.0.0.1:2379'",
        ),
        ({"host": "a,b"}, ValueError, "host must be a name or an address, not several"),
        ({"host": "http://me:hunter2@a"}, ValueError, "an endpoint must not contain a user or a"),
        ({"port": 0}, ValueError, "port must be at least 1, not 0"),
        ({"port": 70000}, ValueError, "port must be at most 65535, not 70000"),
        ({"port": "etcd"}, TypeError, "port must be an int, not str: 'etcd'"),
        ({"port": "9" * 9999}, ValueError, "port must be at most 65535, not 999"),
        ({"port": "0"}, ValueError, "port must be at least 1, not 0"),
        ({"port": "-1"}, TypeError, "port must be an int, not str: '-1'"),
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
        ({"connect_wait_timeout": "3"}, TypeError, "connect_wait_timeout must be a number"),
        ({"options": [("a", 1)]}, TypeError, "options must be a mapping"),
        ({"options": {1: 1}}, TypeError, "options must have str keys"),
        ({"options": {"a": None}}, TypeError, "options: a must be an int or a str"),
        (
            {"host": "a", "endpoints": "b"},
            ValueError,
            "endpoints replace host and port",
        ),
        (
            {"port": 2380, "endpoints": "b"},
            ValueError,
            "endpoints replace host and port",
        ),
        ({"endpoints": []}, ValueError, "endpoints must not be empty"),
        ({"endpoints": "ftp://a"}, ValueError, "endpoint 'ftp://a': unknown scheme"),
        ({"endpoints": 7}, TypeError, "endpoints must be a str or a sequence"),
        ({"tls": True}, TypeError, "tls must be a TLS, not bool"),
        (
            {"endpoints": "http://a", "tls": TLS()},
            ValueError,
            "endpoint 'http://a:2379' does not use TLS, but tls was given",
        ),
    ],
)
def test_an_invalid_argument_is_named(
    arguments: dict[str, Any], kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind) as caught:
        Client(**arguments)
    assert str(caught.value).startswith(complaint), str(caught.value)
    assert "secret" not in str(caught.value)


async def test_nothing_is_opened_before_the_first_call() -> None:
    client = Client("127.0.0.1", 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await client.close()


async def test_a_client_works_without_connect(etcd_endpoint: str) -> None:
    client = aetcd.Client(*host_and_port(etcd_endpoint))
    await client.get(b"key")
    await client.close()


async def test_a_client_may_be_connected_more_than_once(etcd_endpoint: str) -> None:
    client = Client(*host_and_port(etcd_endpoint))
    await client.connect()
    await client.connect()
    await asyncio.gather(*(client.get(b"key") for _ in range(10)))
    await client.close()


async def test_a_client_may_be_closed_more_than_once_and_calls_do_not_open_it(
    etcd_endpoint: str,
) -> None:
    client = Client(*host_and_port(etcd_endpoint))
    await client.connect()
    await client.close()
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.get(b"key")


async def test_a_closed_client_may_be_connected_again(etcd_endpoint: str) -> None:
    client = Client(*host_and_port(etcd_endpoint), timeout=7)
    for _ in range(3):
        async with client:
            await client.put(b"key", b"value")
            assert client.channel.timeout == 7
    await client.connect()
    await client.get(b"key")
    await client.close()


async def test_returned_members_still_work_after_connecting_again(
    etcd_endpoint: str,
) -> None:
    client = Client(*host_and_port(etcd_endpoint))
    async with client:
        [listed] = await client.members()
        [report] = await client.status_cluster()
        leader = (await client.status()).leader
        assert leader is not None
    async with client:
        for member in (listed, report.member, leader):
            assert await member.active_alarms() == []


def test_a_client_may_be_entered_again_in_another_event_loop(etcd_endpoint: str) -> None:
    client = Client(*host_and_port(etcd_endpoint))

    async def use() -> None:
        async with client:
            await client.get(b"key")

    asyncio.run(use())
    asyncio.run(use())


async def test_connecting_again_keeps_the_endpoints_and_the_user(
    lone_server: EtcdServer,
) -> None:
    await lone_server.enable_auth("first")
    client = Client("127.0.0.1", 1, "root", "first")
    client.channel.set_endpoints(f"http://{lone_server.endpoint}")
    async with client:
        await client.user_change_password("root", "second")
    async with client:
        await client.get(b"key")
        assert client.channel.endpoints == (lone_server.endpoint,)
        assert "second" not in repr(client) + repr(vars(client.channel))


async def test_no_server_is_an_error_within_the_connect_timeout() -> None:
    client = Client("127.0.0.1", 1, connect_wait_timeout=2)
    try:
        with pytest.raises(ConnectionFailedError) as caught:
            await asyncio.wait_for(client.connect(), 60)
        assert caught.value.definite
    finally:
        await client.close()


async def test_a_silent_server_is_an_error_within_the_timeout(lone_server: EtcdServer) -> None:
    async with Client(*host_and_port(lone_server.endpoint), timeout=1) as client:
        await lone_server.pause()
        try:
            with pytest.raises(ConnectionTimeoutError):
                await asyncio.wait_for(client.put(b"key", b"value"), 60)
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


async def test_every_service_uses_the_same_channel(etcd_endpoint: str) -> None:
    """No method of one service hides a method of another."""
    composed = (Client, KeyspaceClient)
    services = [each for each in Client.__mro__ if each.__module__.startswith("etcd_")]
    seen: dict[str, type] = {}
    for service in services:
        if service in composed:
            continue
        for name in vars(service):
            if not name.startswith("_"):
                assert name not in seen, f"{name} of {service} and {seen[name]}"
                seen[name] = service
    assert len(services) > 5
