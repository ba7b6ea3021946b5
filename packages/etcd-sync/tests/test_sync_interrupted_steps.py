"""Calls that are interrupted at each of their steps in the calling thread, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import count
from types import FrameType
from typing import Any, NoReturn

import pytest

import etcd_sync
from etcd_channel import ClientClosedError
from etcd_sync._portal import Portal
from etcd_testing.plugin import ServerFactory

TIME = 60.0

Call = Callable[[etcd_sync.Client, bytes], object]


def _many(client: etcd_sync.Client, prefix: bytes) -> None:
    client.put_many((prefix + str(number).encode(), b"v") for number in range(3))


def _transaction(client: etcd_sync.Client, prefix: bytes) -> None:
    def body(t: etcd_sync.STMTransaction) -> None:
        before = t.get(prefix + b"k")
        t.put(prefix + b"k", b"v" if before is None else before.value)

    client.stm(body)


def _block(client: etcd_sync.Client, prefix: bytes) -> None:
    # A name of its own: a signal between a block's `__enter__` and its body is like one before it.
    with client.lock(prefix + str(next(_names)).encode()):
        pass


_names = count()

# The entries of these functions: what a block holds is given back by them, and not if an exception
# arrives before. Python has the same step between the body of a `with` and the end of it.
_BEGINS = ("__exit__", "exit")

CALLS: dict[str, Call] = {
    "put": lambda client, prefix: client.put(prefix, b"v"),
    "watch": lambda client, prefix: client.watch_prefix(prefix).cancel(),
    "lease": lambda client, prefix: client.lease(5).revoke(),
    "scan": lambda client, prefix: list(client.scan_prefix(prefix)),
    "bulk": _many,
    "stm": _transaction,
    "block": _block,
}


@pytest.fixture
def client(etcd_endpoint: str) -> Iterator[etcd_sync.Client]:
    with etcd_sync.Client(endpoints=etcd_endpoint) as client:
        yield client


def in_finalizer(frame: FrameType | None) -> bool:
    """Whether a finalizer is running: Python drops its exceptions."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def at_step(
    step: int,
    act: Callable[[], object],
    call: Callable[[], object],
    modules: tuple[str, ...] = ("etcd_sync",),
) -> str:
    """Do something at a step of a call in some modules; return the function of the step, or "".

    A step is the entry of a function, or the return from one of C: there Python handles signals.
    """
    left = step
    where = ""

    def at_each_step(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left, where
        ours = frame.f_globals.get("__name__", "").startswith(modules)
        if not ours or event not in ("call", "c_return") or in_finalizer(frame):
            return
        left -= 1
        if left == 0:
            where = frame.f_code.co_name
            sys.setprofile(None)
            act()

    before = sys.getprofile()
    sys.setprofile(at_each_step)
    try:
        call()
    finally:
        sys.setprofile(before)
    return where


def interrupted(step: int, call: Callable[[], object]) -> str:
    """Raise a `KeyboardInterrupt` at a step of etcd_sync in a call; return as `at_step` does."""
    interrupts: list[str] = []

    def interrupt() -> NoReturn:
        frame = sys._getframe(2)
        interrupts.append(frame.f_code.co_name)
        raise KeyboardInterrupt

    try:
        if not at_step(step, interrupt, call):
            return ""
        # A call that has a result in spite of it is interrupted after it. In slices: Python notices
        # a signal that arrives right before a wait only after it.
        deadline = time.monotonic() + TIME
        while time.monotonic() < deadline:
            time.sleep(0.05)
        pytest.fail("the interrupt was lost")
    except KeyboardInterrupt:
        return interrupts[0]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_interrupt_at_any_step_writes_nothing_and_leaves_the_client_usable(
    call: Call, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in count(1):
            where = interrupted(step, lambda: call(client, key_prefix))
            if not where:
                break
        gc.collect()
        # Python would warn of a coroutine that was made and never awaited.
        assert [str(warning.message) for warning in caught] == []
    assert step > 10
    client.put(key_prefix, b"after")
    assert client.get(key_prefix)


def test_an_interrupt_at_any_step_of_a_block_leaves_no_key(
    client: etcd_sync.Client, key_prefix: bytes
) -> None:
    for step in count(1):
        where = interrupted(step, lambda: _block(client, key_prefix))
        if not where:
            break
        if where in _BEGINS:
            client.delete_prefix(key_prefix)
        deadline = time.monotonic() + TIME
        while left := [kv.key for kv in client.get_prefix(key_prefix)]:
            assert time.monotonic() < deadline, f"{left} at step {step}, in {where}"
    assert step > 30


def test_an_interrupt_at_any_step_of_closing_an_iteration_leaves_no_watch(
    etcd_server_factory: ServerFactory, key_prefix: bytes
) -> None:
    server = etcd_server_factory()
    with etcd_sync.Client(endpoints=server.endpoint) as client:
        client.put(key_prefix, b"v")
        for step in count(1):
            events = client.watch_from_list(key_prefix)
            next(events)
            where = interrupted(step, events.close)
            if not where:
                break
            events.close()  # closes it if the interrupt came before anything was done
            assert list(events) == []
            deadline = time.monotonic() + TIME
            while watchers := asyncio.run(server.metrics())["etcd_debugging_mvcc_watcher_total"]:
                assert time.monotonic() < deadline, f"{watchers} at step {step}, in {where}"
        assert step > 10


async def _work() -> int:
    return 42


def test_an_interrupt_at_any_step_of_the_first_call_is_a_keyboard_interrupt() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in count(1):
            portal = Portal()
            where = interrupted(step, partial(portal.run, _work))
            assert portal.run(_work) == 42
            portal.close()
            if not where:
                break
        gc.collect()
        assert [str(warning.message) for warning in caught] == []
    assert step > 15


@contextlib.asynccontextmanager
async def _manager() -> AsyncIterator[None]:
    yield


def _first(portal: Portal) -> None:
    portal.run(_work)


def _enter_and_exit(portal: Portal) -> None:
    manager = _manager()
    portal.enter(manager)
    portal.exit(manager)


@pytest.mark.parametrize("call", [_first, _enter_and_exit])
def test_a_signal_handler_may_use_a_portal_at_any_step_of_another_call(
    call: Callable[[Portal], None],
) -> None:
    for step in count(1):
        portal = Portal()
        where = at_step(step, partial(_enter_and_exit, portal), partial(call, portal))
        portal.close()
        if not where:
            break
    assert step > 15


def test_a_signal_handler_may_close_a_portal_at_any_step_of_its_first_call() -> None:
    for step in count(1):
        portal = Portal()
        try:
            where = at_step(step, portal.close, partial(portal.run, _work))
        except ClientClosedError:
            where = "refused"
        portal.close()
        with pytest.raises(ClientClosedError):
            portal.run(_work)
        if not where:
            break
    assert step > 15


@pytest.mark.parametrize("used", [True, False])
def test_a_signal_handler_may_close_a_portal_at_any_step_of_its_close(used: bool) -> None:
    for step in count(1):
        portal = Portal()
        if used:
            portal.run(_work)
        where = at_step(step, portal.close, portal.close, ("etcd_sync", "threading"))
        with pytest.raises(ClientClosedError):
            portal.run(_work)
        if not where:
            break
    assert step > 2
