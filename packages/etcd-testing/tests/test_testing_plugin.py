"""The fixtures, in pytest runs as a user of the package has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_testing import EtcdServer, plugin

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.usefixtures("bare_environment")

# Neither this repository's settings nor other plugins: what a user gets is all that there is.
BARE = (
    *("-p", "no:asyncio", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"),
    *("-W", "error"),
)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def test_fixtures_need_no_asynchronous_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        import socket

        import pytest

        def test_shared_server(etcd_server, etcd_endpoint):
            assert etcd_server.endpoint == etcd_endpoint
            host, port = etcd_endpoint.split(":")
            socket.create_connection((host, int(port))).close()

        seen = set()

        def test_prefix_is_the_tests_own(etcd_server, key_prefix):
            assert isinstance(key_prefix, bytes) and key_prefix.endswith(b"/")
            seen.add(key_prefix)
            asyncio.run(etcd_server.etcdctl("put", key_prefix.decode() + "k", "v"))

        def test_prefix_is_another_one_each_time(etcd_server, key_prefix):
            assert key_prefix not in seen
            assert asyncio.run(etcd_server.etcdctl("get", "--prefix", key_prefix.decode())) == ""

        def test_servers_of_ones_own(etcd_server, etcd_server_factory):
            one, two = etcd_server_factory(), etcd_server_factory(auth_token_ttl=2)
            assert len({etcd_server.endpoint, one.endpoint, two.endpoint}) == 3
            assert one.running and two.running

        def test_cluster_of_ones_own(etcd_cluster_factory):
            cluster = etcd_cluster_factory(2)
            assert asyncio.run(cluster.leader()) in cluster.members
            with pytest.raises(TypeError, match="peer_proxies"):
                etcd_cluster_factory(2, peer_proxies=True)
        """
    )
    pytester.runpytest_subprocess(*BARE).assert_outcomes(passed=5)


def test_fixtures_serve_asynchronous_tests_on_loops_of_their_own(
    pytester: pytest.Pytester,
) -> None:
    pytest.importorskip("pytest_asyncio")
    pytester.makeini("[pytest]\nasyncio_mode=auto\nasyncio_default_fixture_loop_scope=function")
    pytester.makepyfile(
        """
        loops = set()

        async def use(server, factory):
            import asyncio
            loops.add(id(asyncio.get_running_loop()))
            assert await server.healthy(timeout=60)
            own = factory()
            await own.restart()
            assert await own.healthy(timeout=60)

        async def test_one(etcd_server, etcd_server_factory):
            await use(etcd_server, etcd_server_factory)

        async def test_two(etcd_server, etcd_server_factory):
            await use(etcd_server, etcd_server_factory)

        def test_none(etcd_server):
            assert etcd_server.running
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=3)


def test_the_shared_server_takes_flags_from_the_settings(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\netcd_args = --max-txn-ops=7 --quota-backend-bytes=23456789")
    pytester.makepyfile(
        """
        import asyncio

        def test_flags(etcd_server):
            metrics = asyncio.run(etcd_server.metrics())
            assert metrics["etcd_server_quota_backend_bytes"] == 23456789
        """
    )
    pytester.runpytest_subprocess(*BARE).assert_outcomes(passed=1)


def test_the_log_of_a_server_that_cannot_start_is_shown(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\netcd_args = --no-such-flag")
    pytester.makepyfile("def test_never_runs(etcd_endpoint): pass")
    result = pytester.runpytest_subprocess(*BARE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*StartError: etcd 3.* ended with status 2*", "*not defined: -no-such-flag*"]
    )


def test_a_missing_program_is_one_clear_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_BIN_DIR", str(pytester.path))
    pytester.makepyfile("def test_never_runs(etcd_endpoint): pass")
    result = pytester.runpytest_subprocess(*BARE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*BinaryNotFoundError: no 'etcd' program was found*"])


def test_the_fixtures_are_documented(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_subprocess(*BARE, "--fixtures").stdout.str()
    for name in plugin.__all__:
        if name.startswith(("etcd_", "key_")):
            entry = shown.partition(f"\n{name} ")[2].partition("\n\n")[0]
            assert entry, name
            assert "no docstring available" not in entry


def test_a_killed_pytest_run_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import time

        def test_hangs(etcd_server, etcd_server_factory):
            own = etcd_server_factory()
            print(etcd_server.data_dir, own.data_dir, flush=True)
            time.sleep(600)
        """
    )
    command = [sys.executable, "-m", "pytest", *BARE, "-q", "-s"]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=pytester.path, start_new_session=True
    )
    try:
        assert run.stdout is not None
        directories = [Path(word) for word in run.stdout.readline().split()]
        assert len(directories) == 2
        assert all(directory.is_dir() for directory in directories)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    assert holds_soon(lambda: not any(directory.exists() for directory in directories))


async def test_the_shared_server_is_usable_here_as_well(
    etcd_server: EtcdServer, etcd_endpoint: str, key_prefix: bytes
) -> None:
    assert etcd_server.endpoint == etcd_endpoint
    assert key_prefix.startswith(b"/test_the_shared_server_is_usable_here_as_well/")
    assert await etcd_server.healthy(timeout=60)


def holds_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # The end of another run's processes cannot be awaited.
    return True
