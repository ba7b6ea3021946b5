"""The synchronous client in whole processes: Ctrl-C, the exit of the interpreter, and forks.

`pytest -rP` shows how long each took to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import etcd_sync

PROGRAMS = Path(__file__).with_name("sync_programs.py")
TIME = 60.0


class Program:
    """A process of `sync_programs.py`."""

    def __init__(self, name: str, endpoint: str, prefix: bytes) -> None:
        # It is started like any other program, but shows what it does not close.
        # gRPC's own handlers of forks crash in some of the forked processes.
        environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}
        # From 3.12 on Python warns of every fork of a process that has threads.
        warnings = ["-W", "always::ResourceWarning", "-W", "ignore::DeprecationWarning"]
        command = [sys.executable, *warnings, str(PROGRAMS)]
        self.process = subprocess.Popen(
            [*command, name, endpoint, prefix.decode()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def until_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready"), self.ended()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> tuple[int, str, str]:
        """Return its exit code, what else it printed, and its stderr."""
        out, err = self.process.communicate(timeout=TIME)
        return self.process.returncode, out, err


Start = Callable[[str], Program]


@pytest.fixture
def start(etcd_endpoint: str, key_prefix: bytes) -> Iterator[Start]:
    programs: list[Program] = []

    def start(name: str) -> Program:
        programs.append(Program(name, etcd_endpoint, key_prefix))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.communicate()


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[etcd_sync.Client]:
    with etcd_sync.Client(endpoints=etcd_endpoint) as client:
        yield client


def keys(client: etcd_sync.Client, prefix: bytes) -> list[bytes]:
    return [kv.key for kv in client.get_prefix(prefix)]


def leases(client: etcd_sync.Client) -> set[int]:
    return set(client.leases())


def until_it_has_a_lease(program: Program, client: etcd_sync.Client, before: set[int]) -> None:
    """A program that waits for a lock has its lease before it waits."""
    while leases(client) <= before:
        assert program.process.poll() is None
        time.sleep(0.01)


def interrupted(program: Program) -> None:
    begun = time.monotonic()
    program.interrupt()
    code, out, err = program.ended()
    sys.stdout.write(f"ended {time.monotonic() - begun:.3f} s after Ctrl-C\n")
    assert (code, out) == (-signal.SIGINT, ""), err
    # Nothing but what Python itself writes.
    assert err.startswith("Traceback"), err
    assert err.endswith("\nKeyboardInterrupt\n"), err
    assert err.count("Traceback") == 1, err


@pytest.mark.parametrize("name", ["in_watch", "in_held_locks"])
def test_ctrl_c_ends_a_program_that_leaves_no_key_and_no_lease(
    name: str, start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    before = leases(client)
    program = start(name)
    program.until_ready()
    interrupted(program)
    assert keys(client, key_prefix) == []
    assert leases(client) <= before


def test_ctrl_c_ends_a_wait_for_a_lock(
    start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    with client.lock(key_prefix + b"lock"):
        before, held = leases(client), keys(client, key_prefix)
        program = start("in_wait_for_lock")
        until_it_has_a_lease(program, client, before)
        interrupted(program)
        assert keys(client, key_prefix) == held
        assert leases(client) <= before


def test_an_exception_of_a_signal_handler_ends_a_wait_for_a_lock(
    start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    with client.lock(key_prefix + b"lock"):
        before, held = leases(client), keys(client, key_prefix)
        program = start("in_wait_with_a_handler")
        until_it_has_a_lease(program, client, before)
        program.process.send_signal(signal.SIGTERM)
        assert program.ended() == (0, "expired\n", "")
        assert keys(client, key_prefix) == held
        assert leases(client) <= before


def test_ctrl_c_ends_a_wait_for_what_cannot_be_given_back(start: Start) -> None:
    program = start("in_wait_without_end")
    program.until_ready()
    program.interrupt()
    assert program.ended() == (5, "gave up\n", "")


def test_more_ctrl_c_does_not_prevent_the_release_of_locks(
    start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    before = leases(client)
    program = start("in_held_locks")
    program.until_ready()
    for _ in range(3):
        program.interrupt()
        time.sleep(0.003)
    code, _, err = program.ended()
    assert code != 0, err
    assert keys(client, key_prefix) == []
    assert leases(client) <= before


def test_a_program_can_go_on_after_ctrl_c(
    start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    program = start("goes_on")
    program.until_ready()
    program.interrupt()
    assert program.ended() == (0, "went on\n", "")
    assert keys(client, key_prefix) == []


def test_a_program_exits_silently_without_closing_its_client(
    start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    before = leases(client)
    program = start("exits")
    program.until_ready()
    begun = time.monotonic()
    assert program.ended() == (0, "worked on\n", "")
    sys.stdout.write(f"exited in {time.monotonic() - begun:.3f} s\n")
    assert keys(client, key_prefix) == []
    assert leases(client) <= before


def test_a_forked_process_is_refused_if_the_client_was_used(
    start: Start, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    code, out, err = start("forks").ended()
    assert err == ""
    used, refused, *rest = out.splitlines()
    assert used == "used: 3"
    assert refused.startswith("refused: the client was used before this process was forked")
    assert rest == ["a new one is refused", "refused: 4", "seen: PUT DELETE"]
    assert code == 0
    assert keys(client, key_prefix) == []
