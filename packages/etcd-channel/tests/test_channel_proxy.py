"""The HTTP proxy of the environment: it is used where etcd's Go client would use it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from channel_support import HANG, RANGE

from etcd_channel import TLS, Channel, ClientError
from etcd_testing import EtcdServer, TLSFiles, binary_version, find_binary
from etcd_testing.played import messages

GET = messages.RangeRequest(key=b"proxy/k")

VARIABLES = [
    spelled
    for name in (
        "http_proxy",
        "https_proxy",
        "grpc_proxy",
        "all_proxy",
        "no_proxy",
        "no_grpc_proxy",
    )
    for spelled in (name, name.upper())
]

# A name that cannot be resolved: it is reached by the proxy or not at all.
FAR = "etcd.invalid:2379"


class ConnectProxy:
    """An HTTP proxy that supports CONNECT, and connects every request to one server."""

    def __init__(self, endpoint: str) -> None:
        self.asked: list[str] = []
        """What it was asked for: the words after CONNECT."""
        self.headers: list[str] = []
        self._host, self._port = endpoint.rsplit(":", 1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ConnectProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.split(" ")[1])
            self.headers.append(head)
            far_reader, far_writer = await asyncio.open_connection(self._host, int(self._port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
            finally:
                far_writer.close()
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def proxy(etcd_endpoint: str) -> AsyncIterator[ConnectProxy]:
    async with ConnectProxy(etcd_endpoint) as proxy:
        yield proxy


async def reached(channel: Channel) -> bool:
    try:
        await channel.call(RANGE, GET)
    except ClientError:
        return False
    finally:
        await channel.close()
    return True


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
async def test_calls_go_through_the_proxy_of_the_environment(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://user:pass%20word@{proxy.address}")
    assert await reached(Channel(FAR))
    assert set(proxy.asked) == {FAR}
    assert "Basic dXNlcjpwYXNzIHdvcmQ=" in proxy.headers[0]  # user:pass word


@pytest.mark.parametrize("variable", VARIABLES[:8])
async def test_no_variable_sends_calls_for_this_machine_to_a_proxy(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, etcd_endpoint: str, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://{proxy.address}")
    assert await reached(Channel(etcd_endpoint))
    assert await reached(Channel(etcd_endpoint.replace("127.0.0.1", "localhost")))
    assert not proxy.asked


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "grpc_proxy", "all_proxy"])
async def test_a_variable_that_etcds_go_client_ignores_is_ignored(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://{proxy.address}")
    assert not await reached(Channel(FAR, connect_timeout=0.2))
    assert not proxy.asked


async def test_the_proxy_can_be_disabled(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES[:8]:
        monkeypatch.setenv(variable, f"http://{proxy.address}")
    assert not await reached(Channel(FAR, http_proxy=False, connect_timeout=0.2))
    assert not proxy.asked


async def test_a_host_in_no_proxy_is_reached_without_the_proxy(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("NO_PROXY", "other.example, .invalid")
    assert not await reached(Channel(FAR, connect_timeout=0.2))
    assert not proxy.asked


async def test_a_caller_may_name_a_proxy_by_gRPCs_own_option(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, etcd_endpoint: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    options = {"grpc.http_proxy": f"http://{proxy.address}"}
    assert await reached(Channel(FAR, options=options))
    assert proxy.asked
    assert await reached(Channel(etcd_endpoint, options={"grpc.enable_http_proxy": 0}))


async def test_an_endpoint_added_later_uses_the_proxy(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, etcd_endpoint: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    async with Channel(etcd_endpoint) as channel:
        assert not proxy.asked
        monkeypatch.delenv("HTTPS_PROXY")
        channel.set_endpoints(FAR)
        await channel.call(RANGE, GET)
        assert set(proxy.asked) == {FAR}


async def test_tls_is_between_the_client_and_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = TLSFiles.create(tmp_path)
    async with EtcdServer(tls=files) as server, ConnectProxy(server.endpoint) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        tls = TLS(ca_cert=files.ca, server_name="localhost")
        assert await reached(Channel(FAR, tls=tls))
        assert set(proxy.asked) == {FAR}


@pytest.mark.parametrize(
    "wrong", ["http://", "http://a b:1", "http://h:port", "http://u:p#secret@h:1", ":3128"]
)
def test_an_invalid_proxy_address_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """gRPC itself would complain on stderr, and go without."""
    monkeypatch.setenv("https_proxy", wrong)
    with pytest.raises(ValueError, match=r"^https_proxy in the environment must be") as error:
        Channel(FAR)
    assert "secret" not in str(error.value)
    Channel(FAR, http_proxy=False)


def test_http_proxy_must_be_a_bool() -> None:
    wrong: Any = "http://proxy:3128"
    with pytest.raises(TypeError, match=r"^http_proxy must be a bool, not str"):
        Channel(FAR, http_proxy=wrong)


# As Go does it ---------------------------------------------------------------------------

P = "PROXY"
RULES: list[tuple[dict[str, str], str, bool]] = [
    ({"HTTPS_PROXY": P}, "etcd.invalid:2379", True),
    ({"https_proxy": P}, "etcd.invalid:2379", True),
    ({"HTTPS_PROXY": "", "https_proxy": P}, "etcd.invalid:2379", True),
    ({"https_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": P}, "etcd.invalid:2379", True),
    ({"HTTPS_PROXY": f"https://{P}"}, "etcd.invalid:2379", True),
    ({"HTTPS_PROXY": f"http://{P}"}, "192.0.2.77:2379", True),
    ({"HTTP_PROXY": P, "http_proxy": P, "grpc_proxy": P}, "192.0.2.77:2379", False),
    ({"HTTPS_PROXY": P}, "localhost:1", False),
    ({"HTTPS_PROXY": P}, "127.9.9.9:1", False),
    ({"HTTPS_PROXY": P}, "[::1]:1", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "*"}, "etcd.invalid:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "x, ETCD.invalid"}, "etcd.invalid:2379", False),
    ({"HTTPS_PROXY": P, "no_proxy": "invalid"}, "etcd.invalid:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": ".etcd.invalid"}, "etcd.invalid:2379", True),
    ({"HTTPS_PROXY": P, "NO_PROXY": ".etcd.invalid"}, "a.etcd.invalid:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "*.invalid"}, "etcd.invalid:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "etcd.invalid:1"}, "etcd.invalid:2379", True),
    ({"HTTPS_PROXY": P, "NO_PROXY": "etcd.invalid:2379"}, "etcd.invalid:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "192.0.2.0/25,other"}, "192.0.2.77:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "192.0.2.0/28"}, "192.0.2.77:2379", True),
    ({"HTTPS_PROXY": P, "NO_PROXY": "192.0.2.77:1"}, "192.0.2.77:2379", True),
    ({"HTTPS_PROXY": P, "NO_PROXY": "192.0.2.77"}, "192.0.2.77:2379", False),
    ({"HTTPS_PROXY": P, "NO_PROXY": "192.0.2.77/x,:2379,,"}, "192.0.2.77:2379", True),
]


@pytest.mark.parametrize(("environment", "endpoint", "proxied"), RULES)
async def test_the_rules_are_those_of_gos_client(
    etcd_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    endpoint: str,
    proxied: bool,
) -> None:
    """etcdctl, which is etcd's Go client, and this one in the same environment."""
    async with ConnectProxy(etcd_endpoint) as proxy:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.replace(P, proxy.address))
        patience = HANG if proxied else 0.1
        assert await reached(Channel(endpoint, connect_timeout=patience)) is proxied
        assert bool(proxy.asked) is proxied
        etcdctl = find_binary("etcdctl")
        if binary_version(etcdctl).startswith("3.4."):
            return  # Its client had a dialer of its own, and knew no proxy at all.
        proxy.asked.clear()
        process = await asyncio.create_subprocess_exec(
            etcdctl,
            f"--endpoints={endpoint}",
            f"--command-timeout={patience}s",
            f"--dial-timeout={patience}s",
            "get",
            "proxy/k",
            env={**os.environ, "ETCDCTL_API": "3"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert (await process.wait() == 0) is proxied
        assert bool(proxy.asked) is proxied
