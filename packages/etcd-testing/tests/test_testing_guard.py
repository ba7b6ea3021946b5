"""Nothing outlives the test run, however it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etcd_testing import BinaryNotFoundError, EtcdServer

# What a test run is, as far as it matters here: it starts servers, says where they are, and hangs.
RUN = """
import asyncio, os, signal, subprocess, sys
from etcd_testing import EtcdServer

async def main():
    server = EtcdServer()
    await server.start()
    print(server.pid, server.directory, flush=True)
    sys.stdin.readline()
    {then}

asyncio.run(main())
"""
HANG = "await asyncio.sleep(600)"
SOON = 60.0


class Run:
    """A test run in a process of its own, which has started a server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        pid, directory = process.stdout.readline().split()
        self.etcd, self.directory = int(pid), Path(directory)
        assert is_alive(self.etcd)
        assert self.directory.exists()
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()

    def leaves_nothing(self) -> bool:
        """Whether its etcd and its files go, soon."""
        return holds_soon(lambda: not is_alive(self.etcd) and not self.directory.exists())


class StartRun:
    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, then: str = HANG) -> Run:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(then=then)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return Run(process)


@pytest.fixture
def start_run() -> Iterator[StartRun]:
    start = StartRun()
    yield start
    for process in start.processes:
        process.kill()
        process.communicate()


def test_a_run_killed_by_sigkill_leaves_nothing(start_run: StartRun) -> None:
    run = start_run()
    run.process.kill()
    assert run.leaves_nothing()


def test_a_run_killed_with_its_whole_process_group_leaves_nothing(start_run: StartRun) -> None:
    run = start_run()
    os.killpg(run.process.pid, signal.SIGKILL)
    assert run.leaves_nothing()


def test_a_run_that_ends_without_closing_leaves_nothing(start_run: StartRun) -> None:
    assert start_run("os._exit(0)").leaves_nothing()
    assert start_run("raise SystemExit('enough')").leaves_nothing()


def test_a_run_killed_while_its_server_is_paused_leaves_nothing(start_run: StartRun) -> None:
    run = start_run("await server.pause(); print('paused', flush=True); " + HANG)
    assert run.process.stdout is not None
    assert run.process.stdout.readline() == "paused\n"
    run.process.kill()
    assert run.leaves_nothing()


def test_a_fork_that_outlives_the_run_does_not_keep_its_server(start_run: StartRun) -> None:
    # The fork holds the guard's pipe open.
    run = start_run(
        "fork = os.fork()\n"
        "    if fork == 0: os.close(1); signal.pause()\n"
        "    print(fork, flush=True); await asyncio.sleep(600)"
    )
    assert run.process.stdout is not None
    fork = int(run.process.stdout.readline())
    try:
        run.process.kill()
        assert run.leaves_nothing()
        assert is_alive(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="only Linux ends a process with its parent (PR_SET_PDEATHSIG), so elsewhere etcd stays",
)
async def test_a_guard_that_is_killed_takes_its_server_along() -> None:
    server = EtcdServer()
    await server.start()
    etcd, directory = server.pid, server.directory
    assert etcd is not None
    os.kill(parent_of(etcd), signal.SIGKILL)
    assert holds_soon(lambda: not is_alive(etcd))
    assert not server.running
    assert server.returncode == -signal.SIGKILL
    await server.close()
    assert not directory.exists()


def test_a_terminated_guard_cleans_up(start_run: StartRun) -> None:
    if sys.platform != "linux":
        pytest.skip("finds the guard by /proc")
    run = start_run()
    os.kill(parent_of(run.etcd), signal.SIGTERM)
    assert run.leaves_nothing()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_server_that_is_dropped_instead_of_closed_goes() -> None:
    server = EtcdServer()
    await server.start()
    etcd, directory = server.pid, server.directory
    assert etcd is not None
    del server
    gc.collect()
    assert holds_soon(lambda: not is_alive(etcd) and not directory.exists())


async def test_a_server_closed_without_being_started_leaves_no_files() -> None:
    server = EtcdServer()
    directory = server.directory
    assert directory.is_dir()
    await server.close()
    assert not directory.exists()


async def test_a_close_that_is_cancelled_cleans_up_all_the_same() -> None:
    server = EtcdServer()
    await server.start()
    etcd, directory = server.pid, server.directory
    assert etcd is not None
    closing = asyncio.create_task(server.close())
    await asyncio.sleep(0)
    # On a busy machine it may be done by now.
    asked = closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled() is asked
    assert holds_soon(lambda: not is_alive(etcd) and not directory.exists())
    await server.close()


async def test_what_is_no_program_is_an_error(tmp_path: Path) -> None:
    impostor = tmp_path / "etcd"
    impostor.write_bytes(b"\x7fELF and nothing more")
    impostor.chmod(0o755)
    with pytest.raises(BinaryNotFoundError, match="cannot be run"):
        async with EtcdServer(bin_dir=tmp_path):
            pass


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended may wait for an init that never reaps it.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # no /proc, or gone while it was read
        return sys.platform != "linux"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def holds_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # Other processes' ends cannot be awaited here: they are no children.
    return True
