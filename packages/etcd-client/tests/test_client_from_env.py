"""`Client.from_env` beside the real etcdctl: in one environment both reach etcd, or neither."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import pytest
import pytest_asyncio

from etcd_client import Client, ClientError, FailedAttempt, Reconnect
from etcd_testing import EtcdServer, TLSFiles, find_binary

HANG = 60.0

# Attempts that have no chance are repeated until this is over.
IMPATIENT = {"ETCDCTL_DIAL_TIMEOUT": "1s"}


class Servers(NamedTuple):
    plain: EtcdServer
    secure: EtcdServer
    mutual: EtcdServer
    users: EtcdServer
    strangers: TLSFiles

    def filled(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with addresses and paths in the place of their names."""
        tls = self.secure.tls
        assert tls is not None
        names = {
            "PLAIN": self.plain.endpoint,
            "SECURE": self.secure.endpoint,
            "MUTUAL": self.mutual.endpoint,
            "USERS": self.users.endpoint,
            "SOCKET": self.plain.unix_endpoint.removeprefix("unix:"),
            "CA": str(tls.ca),
            "OTHER_CA": str(self.strangers.ca),
            "CERT": str(tls.client_cert),
            "KEY": str(tls.client_key),
        }
        # For a busy machine: etcdctl's own timeout is two seconds.
        patient = {"ETCDCTL_DIAL_TIMEOUT": "60s", **environ}
        return {name: value.format(**names) for name, value in patient.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    files = TLSFiles.create(tmp_path_factory.mktemp("tls"))
    strangers = TLSFiles.create(tmp_path_factory.mktemp("strangers"))
    async with (
        EtcdServer(unix_socket=True) as plain,
        EtcdServer(tls=files) as secure,
        EtcdServer(tls=files, client_cert_auth=True) as mutual,
        EtcdServer() as users,
    ):
        await users.enable_auth("root's secret")
        yield Servers(plain, secure, mutual, users, strangers)


async def etcdctl_reaches(environ: Mapping[str, str]) -> bool:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    # A flag, because etcdctl reads the variable too late for its commands that take a key.
    timeout = "1s" if environ.items() >= IMPATIENT.items() else "60s"
    environ = {k: v for k, v in environ.items() if k != "ETCDCTL_COMMAND_TIMEOUT"}
    process = await asyncio.create_subprocess_exec(
        str(find_binary("etcdctl")),
        "get",
        "key",
        f"--command-timeout={timeout}",
        env={**inherited, "ETCDCTL_API": "3", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(process.wait(), HANG) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def client_reaches(environ: Mapping[str, str]) -> bool:
    try:
        async with Client.from_env(environ) as client:
            await client.get(b"key")
    except (ClientError, ValueError):
        return False
    return True


REACHED = {
    "an endpoint": {"ETCDCTL_ENDPOINTS": "{PLAIN}"},
    "a url": {"ETCDCTL_ENDPOINTS": "http://{PLAIN}"},
    "quotes": {"ETCDCTL_ENDPOINTS": '"http://{PLAIN}","{PLAIN}"'},
    "a socket": {"ETCDCTL_ENDPOINTS": "unix://{SOCKET}"},
    "timeouts": {
        "ETCDCTL_ENDPOINTS": "{PLAIN}",
        "ETCDCTL_DIAL_TIMEOUT": "1m30s",
        "ETCDCTL_COMMAND_TIMEOUT": "60s",
        "ETCDCTL_KEEPALIVE_TIME": "10000ms",
        "ETCDCTL_KEEPALIVE_TIMEOUT": "0.5m",
    },
    "etcdctl's own": {
        "ETCDCTL_ENDPOINTS": "{PLAIN}",
        "ETCDCTL_WRITE_OUT": "json",
        "ETCDCTL_HEX": "true",
        "ETCDCTL_INSECURE_TRANSPORT": "true",
        "ETCDCTL_INSECURE_DISCOVERY": "true",
    },
    "an authority": {"ETCDCTL_ENDPOINTS": "https://{SECURE}", "ETCDCTL_CACERT": "{CA}"},
    "tls without a scheme": {"ETCDCTL_ENDPOINTS": "{SECURE}", "ETCDCTL_CACERT": "{CA}"},
    "the system's authorities": {"ETCDCTL_ENDPOINTS": "https://{SECURE}", "SSL_CERT_FILE": "{CA}"},
    "not insecure": {
        "ETCDCTL_ENDPOINTS": "{SECURE}",
        "ETCDCTL_INSECURE_TRANSPORT": "false",
        "SSL_CERT_FILE": "{CA}",
    },
    "a certificate": {
        "ETCDCTL_ENDPOINTS": "https://{MUTUAL}",
        "ETCDCTL_CACERT": "{CA}",
        "ETCDCTL_CERT": "{CERT}",
        "ETCDCTL_KEY": "{KEY}",
    },
    "a user": {"ETCDCTL_ENDPOINTS": "{USERS}", "ETCDCTL_USER": "root:root's secret"},
    "a password": {
        "ETCDCTL_ENDPOINTS": "{USERS}",
        "ETCDCTL_USER": "root",
        "ETCDCTL_PASSWORD": "root's secret",
    },
    "a user of nothing": {"ETCDCTL_ENDPOINTS": "{PLAIN}", "ETCDCTL_USER": "root:secret"},
}

REFUSED = {
    "a key is missing": {
        "ETCDCTL_ENDPOINTS": "https://{SECURE}",
        "ETCDCTL_CACERT": "{CA}",
        "ETCDCTL_CERT": "{CERT}",
    },
    "a certificate is missing": {"ETCDCTL_ENDPOINTS": "{SECURE}", "ETCDCTL_KEY": "{KEY}"},
    "a file is missing": {"ETCDCTL_ENDPOINTS": "{SECURE}", "ETCDCTL_CACERT": "/nowhere"},
    "a file is no certificate": {"ETCDCTL_ENDPOINTS": "{SECURE}", "ETCDCTL_CACERT": "{KEY}"},
    "a password is missing": {"ETCDCTL_ENDPOINTS": "{USERS}", "ETCDCTL_USER": "root"},
    "a password is wrong": {"ETCDCTL_ENDPOINTS": "{USERS}", "ETCDCTL_USER": "root:wrong"},
    "the password is not the user's": {
        "ETCDCTL_ENDPOINTS": "{USERS}",
        "ETCDCTL_USER": "root:root's secret",
        "ETCDCTL_PASSWORD": "root's secret",
    },
    "a user is needed": {"ETCDCTL_ENDPOINTS": "{USERS}"},
    "another authority": {
        "ETCDCTL_ENDPOINTS": "{SECURE}",
        "ETCDCTL_CACERT": "{OTHER_CA}",
        **IMPATIENT,
    },
    "no authority": {"ETCDCTL_ENDPOINTS": "https://{SECURE}", **IMPATIENT},
    "no client certificate": {
        "ETCDCTL_ENDPOINTS": "{MUTUAL}",
        "ETCDCTL_CACERT": "{CA}",
        **IMPATIENT,
    },
    "plain to tls": {"ETCDCTL_ENDPOINTS": "http://{SECURE}", **IMPATIENT},
    "tls to plain": {"ETCDCTL_ENDPOINTS": "{PLAIN}", "ETCDCTL_CACERT": "{CA}", **IMPATIENT},
    "no scheme": {"ETCDCTL_ENDPOINTS": "{SECURE}", **IMPATIENT},
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("environ", REACHED.values(), ids=REACHED)
async def test_where_etcdctl_reaches_etcd_so_does_the_client(
    environ: dict[str, str], servers: Servers
) -> None:
    environ = servers.filled(environ)
    both = await asyncio.gather(etcdctl_reaches(environ), client_reaches(environ))
    assert [*both] == [True, True]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("environ", REFUSED.values(), ids=REFUSED)
async def test_where_etcdctl_fails_so_does_the_client(
    environ: dict[str, str], servers: Servers
) -> None:
    environ = servers.filled(environ)
    both = await asyncio.gather(etcdctl_reaches(environ), client_reaches(environ))
    assert [*both] == [False, False]


STRICTER = {
    "http beside tls": {"ETCDCTL_ENDPOINTS": "http://{PLAIN}", "ETCDCTL_CACERT": "{CA}"},
    "no verification": {
        "ETCDCTL_ENDPOINTS": "{SECURE}",
        "ETCDCTL_INSECURE_TRANSPORT": "false",
        "ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true",
    },
    "a password of nobody": {"ETCDCTL_ENDPOINTS": "{PLAIN}", "ETCDCTL_PASSWORD": "secret"},
    "unknown": {"ETCDCTL_ENDPOINTS": "{PLAIN}", "ETCDCTL_ENDPOINT": "a"},
    "no duration": {"ETCDCTL_ENDPOINTS": "{PLAIN}", "ETCDCTL_DIAL_TIMEOUT": "5"},
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("environ", STRICTER.values(), ids=STRICTER)
async def test_a_mistake_that_etcdctl_ignores_is_an_error(
    environ: dict[str, str], servers: Servers
) -> None:
    environ = servers.filled(environ)
    assert await etcdctl_reaches(environ)
    with pytest.raises(ValueError, match="ETCDCTL_"):
        Client.from_env(environ)


def test_arguments_replace_variables_and_the_rest_is_as_for_the_constructor() -> None:
    attempts: list[FailedAttempt] = []
    breaks: list[Reconnect] = []
    client = Client.from_env(
        {"ETCDCTL_ENDPOINTS": "a:1", "ETCDCTL_COMMAND_TIMEOUT": "7s"},
        endpoints=["b:2", "c:3"],
        connect_wait_timeout=1,
        options={"grpc.primary_user_agent": "a test"},
        http_proxy=False,
        on_failed_attempt=attempts.append,
        on_reconnect=breaks.append,
    )
    assert client.channel.endpoints == ("b:2", "c:3")
    assert client.channel.timeout == 7


def test_from_env_has_every_argument_of_the_constructor() -> None:
    own = inspect.signature(Client.from_env).parameters
    assert own.keys() == {"environ", *inspect.signature(Client).parameters} - {"host", "port"}


async def test_a_client_from_the_environment_can_be_opened_again(etcd_endpoint: str) -> None:
    client = Client.from_env({"ETCDCTL_ENDPOINTS": etcd_endpoint})
    for _ in range(2):
        async with client:
            await client.get(b"key")
    assert client.channel.closed


def test_a_client_from_the_environment_checks_the_interval() -> None:
    with pytest.raises(ValueError, match="sync_interval must be a positive"):
        Client.from_env({}, sync_interval=0)


async def test_a_subclass_makes_its_own_kind(etcd_endpoint: str) -> None:
    class Mine(Client):
        pass

    async with Mine.from_env({"ETCDCTL_ENDPOINTS": etcd_endpoint}) as client:
        assert type(client) is Mine
