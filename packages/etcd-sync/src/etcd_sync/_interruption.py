"""What happens when an exception, such as `KeyboardInterrupt`, arrives while a thread waits."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep
from types import FrameType
from typing import Any

from etcd_sync._loop_thread import GIVE_BACK_TIME, LoopThread
from etcd_sync._operation import Operation

__all__ = ["cancel_and_wait", "insist", "raise_later", "wait_to_the_end"]

# Seconds between two looks at whether a thread has returned from a call.
_MOMENT = 0.001


def cancel_and_wait(thread: LoopThread, operation: Operation[Any]) -> None:
    """Cancel an operation, and wait until it has given back what it holds, within bounds.

    For the handler of an exception. Others that arrive meanwhile are dropped.
    """

    def wait(timeout: float) -> bool:
        if not operation.ended:
            thread.cancel(operation)
            operation.done.acquire(timeout=timeout)
        return operation.ended

    _insist(wait, GIVE_BACK_TIME)


def insist(thread: LoopThread, operation: Operation[Any]) -> None:
    """Have an operation done, and wait for it within bounds, whatever exceptions arrive."""

    def wait(timeout: float) -> bool:
        if not operation.ended:
            # It is started once, however often it is submitted.
            thread.submit(operation)
            operation.done.acquire(timeout=timeout)
        return operation.ended

    _insist(wait, GIVE_BACK_TIME)


def wait_to_the_end(wait: Callable[[float], bool], timeout: float) -> bool:
    """Call `wait` with a timeout until it returns True; return False after `timeout` seconds.

    An exception that arrives meanwhile does not end the wait, and is raised after it.
    """
    ended, first = _insist(wait, timeout)
    try:
        if first is not None:
            raise first
        return ended
    finally:
        del first  # its traceback refers to this frame


def raise_later(error: BaseException, thread: LoopThread) -> bool:
    """Have `error` be raised a moment later, if it can be; return whether it will.

    For an operation that has a result in spite of it: the caller receives the result and can give
    back what it is, as if Ctrl-C had been pressed after the call. Other exceptions cannot wait.
    """
    if not isinstance(error, KeyboardInterrupt) or thread.stopped or not _default_handler():
        return False
    call: list[FrameType] = []
    frame: FrameType | None = sys._getframe()
    while frame is not None and _is_of_client(frame):
        call.append(frame)
        frame = frame.f_back
    arguments = threading.get_ident(), call
    threading.Thread(target=_send_after, args=arguments, daemon=True).start()
    return True


def _is_of_client(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "etcd_sync"


def _send_after(ident: int, call: list[FrameType]) -> None:
    """Send Ctrl-C to a thread when it has returned from a call, so that the result is not lost.

    A real signal, so that it also ends a wait that the thread has begun by then.
    """
    deadline = monotonic() + GIVE_BACK_TIME
    while monotonic() < deadline and _executes(ident, call):
        sleep(_MOMENT)
    signal.pthread_kill(ident, signal.SIGINT)


def _executes(ident: int, call: list[FrameType]) -> bool:
    frame = sys._current_frames().get(ident)
    while frame is not None:
        if frame in call:
            return True
        frame = frame.f_back
    return False


def _insist(wait: Callable[[float], bool], timeout: float) -> tuple[bool, BaseException | None]:
    """Return whether `wait` returned True in time, and the first exception that arrived."""
    deadline = monotonic() + timeout
    first: BaseException | None = None
    interrupts = _Interrupts()
    ended = False
    while True:
        try:
            # Without this, a second Ctrl-C could arrive outside of the `try`.
            interrupts.hold_back()
            if not ended and monotonic() <= deadline:
                ended = wait(max(0.0, deadline - monotonic()))
            interrupts.let_through()
            break
        except BaseException as error:  # the caller raises it
            first = first or error
            if monotonic() > deadline + 1:
                interrupts.let_through()
                break
    return ended, first or (KeyboardInterrupt() if interrupts.arrived else None)


class _Interrupts:
    """Holds back Ctrl-C, if this is the main thread and nothing else handles it."""

    def __init__(self) -> None:
        self.arrived = False
        self._held = False

    def hold_back(self) -> None:
        if not self._held and _default_handler():
            self._held = True
            signal.signal(signal.SIGINT, self._note)

    def let_through(self) -> None:
        if self._held:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._held = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True


def _default_handler() -> bool:
    """Whether Ctrl-C raises a `KeyboardInterrupt` in this thread."""
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
