"""Detects forks: gRPC cannot be used in a child process if it was in use in the parent.

One thread receives all events of grpc.aio; it exists as long as any channel of grpc.aio does. A
forked process has only the thread that forked, so no channel receives anything in it, neither an
inherited nor a new one: a process has one event queue, and no function creates another. gRPC's own
fork handlers (GRPC_ENABLE_FORK_SUPPORT) do not help: they work only if no thread is inside gRPC,
and the receiving thread always is.

After the last channel is closed, gRPC ends its threads in yet another thread, which holds the lock
of gRPC's initialization. A fork at that moment would leave the lock taken in the child, so the fork
waits until the threads have ended, which takes about a millisecond. It does not wait with grpcio
before 1.70: there the threads may stay for seconds, gRPC's own handlers stop them at the fork, and
waiting before the fork can make these handlers hang.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable
from typing import Final

import grpc
from grpc import aio

__all__ = ["GRPC_UNUSABLE", "grpc_is_unusable", "on_fork"]

GRPC_UNUSABLE: Final = (
    "gRPC was in use in the parent process when this process was forked, and cannot be used here:"
    " close every client before the fork, or start processes by 'spawn' or 'forkserver'"
)
"""The message of the error for every use of a channel in such a process."""

_POLLER = "(_poll_wrapper)"
# Seconds that a fork waits for gRPC's threads to end after the last channel was closed.
_THREADS_END_TIME = 1.0

# The names of gRPC's threads, which Linux cuts to 15 bytes.
_NATIVE_THREADS = ("grpc_", "event_engine", "lifeguard", "default-executo", "resolver-execut")
_TASKS = "/proc/self/task"
_WAIT_FOR_THREADS = tuple(map(int, grpc.__version__.split(".")[:2])) >= (1, 70)

_in_use = False
_unusable = False
# Threads that did not end while an earlier fork waited: another library keeps gRPC in use.
_permanent_threads: set[str] = set()


def grpc_is_unusable() -> bool:
    """Whether this process was forked from one in which grpc.aio was in use."""
    return _unusable


def on_fork(is_open: Callable[[], bool], disown: Callable[[], None]) -> None:
    """Call `disown` in each forked process, which cannot use the connections of its parent.

    `is_open` is called before the fork; it returns whether a channel of this package is open.
    """

    def before() -> None:
        _before_fork(is_open())

    def after() -> None:
        _after_fork_in_child()
        disown()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_child=after)


def _before_fork(is_open: bool) -> None:
    """Record whether grpc.aio is in use; if not, wait until its threads have ended."""
    global _in_use
    pollers = [thread for thread in threading.enumerate() if thread.name.endswith(_POLLER)]
    if pollers and not is_open:
        # The last channel may have been closed just now, or be kept by a reference cycle.
        gc.collect()
        for thread in pollers:
            thread.join(_THREADS_END_TIME)
    _in_use = is_open or any(thread.is_alive() for thread in pollers)
    if not _in_use and _WAIT_FOR_THREADS:
        _wait_for_native_threads()


def _wait_for_native_threads() -> None:
    """Wait until gRPC's threads in C have ended; `threading` does not know them."""
    deadline = time.monotonic() + _THREADS_END_TIME
    while ending := _native_threads() - _permanent_threads:
        if time.monotonic() > deadline:
            _permanent_threads.update(ending)
            return
        time.sleep(0.001)


def _native_threads() -> set[str]:
    """Return the ids of gRPC's threads in C; none on systems without /proc."""
    found = set()
    with contextlib.suppress(OSError):
        for task in os.listdir(_TASKS):
            # A thread may end between listdir() and open().
            with (
                contextlib.suppress(OSError),
                open(f"{_TASKS}/{task}/comm", encoding="utf-8", errors="replace") as name,
            ):
                if name.read().startswith(_NATIVE_THREADS):
                    found.add(task)
    return found


def _after_fork_in_child() -> None:
    global _unusable
    if not _in_use:
        return
    _unusable = True
    # When the last channel is deleted, gRPC waits for its thread to end; with grpcio 1.62 that wait
    # never returns here. This process will delete the inherited channels, at its end at the latest,
    # so an additional reference to gRPC ensures that none of them is the last.
    aio.init_grpc_aio()
    # A channel closes itself when it is deleted. In this process it would wait forever for a lock
    # that a thread of the parent held at the fork, and it must not close the parent's connections.
    for kind in aio.Channel.__subclasses__():
        if "__del__" in vars(kind):
            setattr(kind, "__del__", _leave_open)  # noqa: B010 - a method, which mypy guards


def _leave_open(channel: aio.Channel) -> None:
    """Replaces `__del__`: does not close a channel of the parent."""
