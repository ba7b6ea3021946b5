"""A server of one's own: how it starts, dies, freezes and comes back."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from etcd_testing import EtcdctlError, EtcdServer, EtcdTestingError, ServerOptions, StartError


async def test_a_fresh_server_is_healthy_empty_and_gone_afterwards() -> None:
    async with EtcdServer() as server:
        directory, pid = server.directory, server.pid
        assert server.running
        assert pid is not None
        assert await server.healthy(timeout=60)
        assert await server.etcdctl("get", "", "--prefix") == ""
        assert (await server.metrics())["etcd_debugging_mvcc_keys_total"] == 0
        assert server.data_dir.is_dir()
    assert not directory.exists()
    assert not process_exists(pid)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.client_port)


async def test_its_addresses_fit_together() -> None:
    server = EtcdServer()
    assert server.endpoint == f"127.0.0.1:{server.client_port}"
    assert server.endpoints == [server.endpoint]
    assert server.url == f"http://{server.endpoint}"
    assert len({server.url, server.peer_url, server.metrics_url}) == 3
    await server.close()
    server = EtcdServer(host="::1", tls=True)
    assert server.url == f"https://[::1]:{server.client_port}"
    await server.close()


async def test_a_server_may_listen_on_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    async with EtcdServer(host="::1") as server:
        assert server.endpoint == f"[::1]:{server.client_port}"
        await server.etcdctl("put", "k", "v")


async def test_two_servers_know_nothing_of_each_other() -> None:
    async with EtcdServer() as one, EtcdServer() as two:
        await one.etcdctl("put", "k", "one")
        assert await two.etcdctl("get", "k") == ""


@pytest.mark.parametrize(
    ("version", "keeps"),
    [
        ("3.3.27", False),
        ("3.4.20", False),
        ("3.4.21", True),
        ("3.5.1", False),
        ("3.5.4", False),
        ("3.5.5", True),
        ("3.6.0-rc.0", True),
    ],
)
def test_old_versions_lose_writes_when_they_are_killed(
    version: str, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EtcdServer, "version", version)
    assert EtcdServer().keeps_writes_when_killed is keeps


async def test_kill_and_start_keeps_endpoint_and_data() -> None:
    async with EtcdServer() as server:
        await server.etcdctl("put", "k", "kept")
        endpoint, first_pid = server.endpoint, server.pid
        # It commits what was written, which old versions may lose otherwise.
        await server.etcdctl("snapshot", "save", str(server.directory / "snapshot"))
        await server.kill()
        assert not server.running
        assert server.pid is None
        assert server.returncode == -signal.SIGKILL
        assert not await server.healthy()
        await server.start()
        assert (server.endpoint, server.pid != first_pid) == (endpoint, True)
        assert await server.etcdctl("get", "--print-value-only", "k") == "kept\n"


async def test_stop_ends_it_in_order_and_restart_brings_it_back() -> None:
    async with EtcdServer() as server:
        await server.etcdctl("put", "k", "kept")
        await server.stop()
        assert server.returncode in (0, -signal.SIGTERM)
        await server.stop()  # Nothing to do, and no error.
        await server.restart()
        await server.restart()
        assert await server.etcdctl("get", "--print-value-only", "k") == "kept\n"
        assert server.logs().count("configuring client listeners") == 3


async def test_a_paused_server_is_there_and_silent_until_resumed() -> None:
    async with EtcdServer() as server:
        await server.pause()
        assert server.running
        assert server.paused
        assert not await server.healthy(timeout=0.2)
        await server.resume()
        assert not server.paused
        assert await server.healthy(timeout=10)


async def test_a_paused_server_can_be_stopped_and_closed() -> None:
    async with EtcdServer() as server:
        await server.pause()
        await server.stop()
        assert server.returncode in (0, -signal.SIGTERM)
        await server.start()
        await server.pause()
    assert not server.running


async def test_a_server_that_cannot_start_says_why() -> None:
    server = EtcdServer(args=["--no-such-flag"])
    with pytest.raises(StartError, match="flag provided but not defined: -no-such-flag"):
        await server.start()
    directory = server.directory
    await server.close()
    assert not directory.exists()


async def test_a_server_whose_port_is_taken_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match="address already in use"):
            async with EtcdServer(client_port=taken.getsockname()[1]):
                pass


async def test_a_server_that_does_not_become_healthy_is_not_waited_for_for_ever() -> None:
    # One of two members alone never has a leader.
    server = EtcdServer(start_timeout=0.3)
    server.initial_cluster = f"{server.name}={server.peer_url},other=http://127.0.0.1:1"
    with pytest.raises(StartError, match=r"not healthy after 0\.3 s"):
        await server.start()
    assert not server.running
    await server.close()


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    server = EtcdServer()
    server.initial_cluster = f"{server.name}={server.peer_url},other=http://127.0.0.1:1"

    async def use() -> None:
        async with server:
            raise AssertionError("it can never be healthy")

    task = asyncio.create_task(use())
    while server.pid is None:  # noqa: ASYNC110  # a process has no event to wait for
        await asyncio.sleep(0.01)
    directory, pid = server.directory, server.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not process_exists(pid)
    assert not directory.exists()


async def test_wrong_uses_are_errors() -> None:
    with pytest.raises(ValueError, match="client_cert_auth needs tls"):
        EtcdServer(client_cert_auth=True)
    with pytest.raises(TypeError, match="args should be a sequence"):
        EtcdServer(args="--pre-vote")
    with pytest.raises(EtcdTestingError, match="does not run"):
        await EtcdServer().pause()
    async with EtcdServer() as server:
        with pytest.raises(EtcdTestingError, match="runs already"):
            await server.start()
    with pytest.raises(EtcdTestingError, match="closed"):
        await server.start()
    await server.close()


async def test_flags_and_environment_reach_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    # etcd would take this for a flag, and complain of the next.
    monkeypatch.setenv("ETCD_NAME", "from-the-environment")
    monkeypatch.setenv("ETCD_NONSENSE", "1")
    async with EtcdServer(
        name="mine",
        quota_backend_bytes=20_000_000,
        args=["--max-txn-ops=7"],
        env={"ETCD_MAX_REQUEST_BYTES": "4096"},
    ) as server:
        log = server.logs()
        assert '"max-request-bytes":4096' in log or "ETCD_MAX_REQUEST_BYTES" in log
        assert "from-the-environment" not in log
        assert "ETCD_NONSENSE" not in log
        assert (await server.metrics())["etcd_server_quota_backend_bytes"] == 20_000_000
        with pytest.raises(EtcdctlError, match="too large"):
            await server.etcdctl("put", "k", stdin="v" * 8192)
        eight = "".join(f"put k{number} v\n" for number in range(8))
        with pytest.raises(EtcdctlError, match="too many operations"):
            await server.etcdctl("txn", stdin=f"\n{eight}\n\n")


async def test_a_full_server_starts_again() -> None:
    async with EtcdServer(quota_backend_bytes=1000) as server:
        # The quota is less than what an empty etcd takes: the first write is one too many.
        with pytest.raises(EtcdctlError, match="database space exceeded"):
            await server.etcdctl("put", "k", "v")
        await server.restart()
        assert "NOSPACE" in await server.etcdctl("alarm", "list")


async def test_auth_can_be_enabled_and_survives_a_restart() -> None:
    async with EtcdServer(auth_token_ttl=60) as server:
        await server.enable_auth("secret")
        await server.etcdctl("put", "k", "by root")
        with pytest.raises(EtcdctlError, match="authentication failed"):
            await server.etcdctl("get", "k", user="root:wrong")
        await server.restart()
        assert await server.etcdctl("get", "--print-value-only", "k") == "by root\n"


async def test_tokens_may_be_jwt() -> None:
    async with EtcdServer(auth_token="jwt", auth_token_ttl=60) as server:
        await server.enable_auth()
        await server.etcdctl("put", "k", "v")
        ask = urllib.request.Request(
            f"{server.url}/v3/auth/authenticate", b'{"name": "root", "password": "root"}'
        )
        with await asyncio.to_thread(urllib.request.urlopen, ask) as answer:
            token = json.load(answer)["token"]
        header, _, _ = token.split(".")
        assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}


async def test_etcdctl_shows_no_password_when_it_fails(etcd_server: EtcdServer) -> None:
    with pytest.raises(EtcdctlError) as failure:
        await etcd_server.etcdctl("user", "passwd", "nobody:hush", "--no-such-flag")
    assert "hush" not in str(failure.value)


async def test_etcdctl_that_takes_too_long_is_killed(etcd_server: EtcdServer) -> None:
    with pytest.raises(TimeoutError, match="etcdctl watch"):
        await etcd_server.etcdctl("watch", "nothing", timeout=0.2)


async def test_an_etcdctl_session_is_read_line_by_line_and_ends(
    etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    name = key_prefix.decode() + "lock"
    async with etcd_server.etcdctl_session("lock", name) as session:
        assert (await session.line()).startswith(f"{name}/")
        assert await session.line() == ""  # the value of that key
        with pytest.raises(TimeoutError, match="printed no line"):
            await session.line(timeout=0.05)
        assert session.running
        pid = session.pid
    assert pid is not None
    assert not process_exists(pid)
    # Ended by SIGINT, it has given the lock up.
    assert await etcd_server.etcdctl("get", "--prefix", name) == ""

    async with etcd_server.etcdctl_session("get", "--no-such-flag") as session:
        assert await session.ended() != 0
        for _ in session.output().splitlines():
            await session.line()
        with pytest.raises(EtcdctlError, match="no-such-flag"):
            await session.line()


async def test_an_etcdctl_session_that_ends_as_soon_as_it_began_is_not_killed(
    etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    for _ in range(5):
        async with etcd_server.etcdctl_session("lock", key_prefix.decode()) as session:
            pass
        assert session.returncode != -signal.SIGKILL


async def test_a_server_listens_on_a_socket_file_too() -> None:
    async with EtcdServer(unix_socket=True) as server:
        path = server.unix_endpoint.removeprefix("unix:")
        assert path.startswith(str(server.directory))
        await server.kill()
        await server.start()  # Not hindered by the file that the killed one has left.
        _, writer = await asyncio.open_unix_connection(path)
        writer.close()
        await writer.wait_closed()
    async with EtcdServer() as server:
        with pytest.raises(EtcdTestingError, match="unix_socket=True"):
            server.unix_endpoint  # noqa: B018  # it is the reading that raises


async def test_a_given_data_directory_stays(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with EtcdServer(data_dir=data_dir) as server:
        await server.etcdctl("put", "k", "kept")
    async with EtcdServer(data_dir=data_dir) as server:
        assert await server.etcdctl("get", "--print-value-only", "k") == "kept\n"


def test_a_server_belongs_to_no_event_loop() -> None:
    server = EtcdServer()
    asyncio.run(server.start())
    assert asyncio.run(server.healthy(timeout=60))
    asyncio.run(server.restart())
    asyncio.run(server.close())
    assert not server.running


def test_the_options_are_typed_as_the_constructor_is() -> None:
    parameters = set(inspect.signature(EtcdServer.__init__).parameters) - {"self", "name"}
    assert set(ServerOptions.__annotations__) == parameters


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_stopped_server_is_restored_from_a_snapshot(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    async with EtcdServer() as server:
        await server.etcdctl("put", "key", "saved")
        await server.etcdctl("snapshot", "save", str(snapshot))
        await server.etcdctl("put", "key", "lost")
        with pytest.raises(EtcdTestingError, match="stop it"):
            await server.restore(snapshot)
        await server.stop()
        await server.restore(snapshot, cluster_token="another")
        assert (await server.etcdctl("get", "key", "--print-value-only")).strip() == "saved"
        await server.stop()
        with pytest.raises(EtcdctlError):
            await server.restore(tmp_path / "no snapshot")
        assert not server.running
