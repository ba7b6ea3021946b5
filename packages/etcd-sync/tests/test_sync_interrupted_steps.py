"""Calls that are interrupted at each of their steps in the calling thread, one after the other."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType
from typing import Any

import pytest

import etcd_sync

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


def interrupted(step: int, call: Callable[[], object]) -> bool:
    """Raise a `KeyboardInterrupt` at a step of etcd_sync in a call; return whether it has so many.

    A step is the entry of a function, or the return from one of C: there Python handles signals.
    """
    left = step

    def at_each_step(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        ours = frame.f_globals.get("__name__", "").startswith("etcd_sync")
        if not ours or event not in ("call", "c_return") or in_finalizer(frame):
            return
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(at_each_step)
    try:
        call()
        if left <= 0:
            # A call that has a result in spite of it is interrupted after it.
            assert not threading.Event().wait(TIME)
            pytest.fail("the interrupt was lost")
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(before)
    return left <= 0


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_interrupt_at_any_step_writes_nothing_and_leaves_the_client_usable(
    call: Call, client: etcd_sync.Client, key_prefix: bytes
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in count(1):
            if not interrupted(step, lambda: call(client, key_prefix)):
                break
            gc.collect()
            # Python would warn of a coroutine that was made and never awaited.
            assert [str(warning.message) for warning in caught] == [], f"at step {step}"
    assert step > 10
    client.put(key_prefix, b"after")
    assert client.get(key_prefix)
