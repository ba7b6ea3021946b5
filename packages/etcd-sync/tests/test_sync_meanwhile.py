"""Calls during which the client is closed or the caller is interrupted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import etcd_sync
from etcd_channel import ClientClosedError
from etcd_sync import _interruption, _loop_thread
from etcd_sync._conversation import Conversation
from etcd_sync._operation import Run
from etcd_sync._portal import Portal
from etcd_sync._request import Request
from etcd_sync.errors import BulkError

TIME = 60.0


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[etcd_sync.Client]:
    with etcd_sync.Client(endpoints=etcd_endpoint) as client:
        yield client


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture(autouse=True)
def interrupts_are_raised() -> Iterator[None]:
    """In a shell's background Python begins with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(condition: Callable[[], bool], call: Callable[[], object]) -> None:
    """Send Ctrl-C to the main thread, which waits in a call, when a condition holds."""

    def send() -> None:
        deadline = time.monotonic() + TIME
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.001)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    try:
        threading.Thread(target=send, daemon=True).start()
        call()
    except KeyboardInterrupt:
        return
    pytest.fail("the call was not interrupted")


def test_a_bulk_write_of_a_client_that_is_closed_meanwhile_tells_what_it_has_done(
    client: etcd_sync.Client, etcd_endpoint: str, key_prefix: bytes
) -> None:
    seen: list[object] = []

    def progress(*done: object) -> None:
        seen.append(done)
        if len(seen) == 1:
            client.close()

    pairs = [(key_prefix + b"%d" % number, b"v" * 50_000) for number in range(400)]
    with pytest.raises(BulkError) as failed:
        client.put_many(pairs, progress=progress)
    assert not failed.value.definite
    with etcd_sync.Client(endpoints=etcd_endpoint) as other:
        written = other.get_prefix(key_prefix, count_only=True).count
    report = failed.value.result
    unknown = sum(len(part.positions) for part in report.unknown)
    assert 0 < report.done <= written <= report.done + unknown


def test_what_a_function_delegates_is_not_executed_if_its_call_was_interrupted(
    portal: Portal,
) -> None:
    async def scenario() -> list[str]:
        executed: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            executed.append("first")
            begun.set()
            await go_on.wait()

        async def execute() -> None:
            executed.append("second")

        request = Request(print)
        task = asyncio.create_task(request.result())
        first = asyncio.create_task(request.delegate(wait))
        await begun.wait()
        # The task awaits what the first call delegated, and this one waits behind it.
        second = asyncio.create_task(request.delegate(execute))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        go_on.set()
        await first
        request.served()
        await task
        return executed

    assert portal.run(scenario) == ["first"]


def test_an_iteration_that_was_interrupted_does_not_seem_complete(portal: Portal) -> None:
    waiting = threading.Event()

    async def items() -> AsyncIterator[int]:
        yield 1
        waiting.set()
        await asyncio.Event().wait()

    iteration = portal.iterate(items())
    assert next(iteration) == 1
    interrupted(waiting.is_set, lambda: next(iteration))
    with pytest.raises(RuntimeError, match="begin another"):
        next(iteration)
    iteration.close()
    assert list(iteration) == []


def test_a_watch_continues_after_an_interrupt(client: etcd_sync.Client, key_prefix: bytes) -> None:
    with client.watch_prefix(key_prefix) as watch:
        began = time.monotonic()
        interrupted(lambda: time.monotonic() > began + 0.2, lambda: next(watch))
        client.put(key_prefix + b"k", b"v")
        assert next(watch).kv.key == key_prefix + b"k"


def test_a_snapshot_is_complete_in_a_buffered_file(client: etcd_sync.Client) -> None:
    with tempfile.NamedTemporaryFile(buffering=1 << 20) as file:
        taken = client.snapshot(file)
        assert Path(file.name).stat().st_size == taken.size


def test_an_error_of_another_client_in_a_function_is_raised(portal: Portal) -> None:
    conversation = Conversation(portal)

    def fails() -> None:
        raise ClientClosedError("another client is closed")

    async def work() -> str:
        conversation.post(fails)
        return "done"

    with pytest.raises(ClientClosedError, match="another client"):
        conversation.hold(work)


def test_a_portal_that_finds_no_file_descriptor_works_when_there_are_some() -> None:
    program = Path(__file__).with_name("sync_descriptors.py")
    ended = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=TIME
    )
    assert (ended.stdout, ended.stderr) == ("OSError EMFILE\n42\n", "")


def test_ctrl_c_works_after_a_signal_handler_that_took_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(_interruption, "monotonic", lambda: now)

    def wait(timeout: float) -> bool:
        nonlocal now
        now += timeout + 10  # in the handler
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        _interruption.wait_to_the_end(wait, 5.0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("iterations", range(6))
def test_a_call_that_begins_as_the_client_is_closed_is_ended(
    monkeypatch: pytest.MonkeyPatch, iterations: int
) -> None:
    """Also one whose task has not begun when the tasks of the loop are cancelled."""
    monkeypatch.setattr(_loop_thread, "GIVE_BACK_TIME", 10 * TIME)
    portal = Portal()
    thread = portal.thread()
    begun, queued = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            begin_in(iterations)

    def begin_in(iterations: int) -> None:
        if iterations:
            asyncio.get_running_loop().call_soon(begin_in, iterations - 1)
        else:
            queued.set()
            thread._queue.append(second)
            thread._start_all()

    first, second = Run(wait), Run(asyncio.Event().wait)
    thread.submit(first)
    assert begun.wait(TIME)
    thread.stop()
    assert thread.join(TIME)
    assert isinstance(first.error, asyncio.CancelledError)
    ended = isinstance(second.error, (asyncio.CancelledError, ClientClosedError))
    assert ended or not queued.is_set()
    portal.close()


def test_a_call_that_begins_when_the_loop_ends_is_refused_as_not_executed() -> None:
    portal = Portal()
    thread = portal.thread()
    executed: list[str] = []

    async def execute() -> None:
        executed.append("the call")

    call = Run(execute)

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            # The loop closes this generator at its end.
            thread.submit(call)
            await asyncio.sleep(0)

    iteration = portal.iterate(items())
    assert next(iteration) == 1
    portal.close()
    assert thread.join(TIME)
    assert isinstance(call.error, ClientClosedError)
    assert call.error.definite
    assert executed == []


def test_a_result_is_returned_before_ctrl_c_arrives(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = signal.pthread_kill
    called: list[set[str]] = []
    waiting, sent = threading.Event(), threading.Event()

    def record(ident: int, number: int) -> None:
        names, frame = set(), sys._current_frames().get(ident)
        while frame is not None:
            names.add(frame.f_code.co_name)
            frame = frame.f_back
        called.append(names)
        sent.set()

    monkeypatch.setattr(signal, "pthread_kill", record)

    async def give_back() -> str:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "the result"
        return "nothing"

    def interrupt() -> None:
        assert waiting.wait(TIME)
        real(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert portal.run(give_back) == "the result"
    assert sent.wait(TIME)
    assert not called[0] & {"_wait", "raise_later"}
    thread.join()
