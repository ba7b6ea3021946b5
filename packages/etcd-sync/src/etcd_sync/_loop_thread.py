"""`LoopThread`: a thread with an event loop, and the queue of what other threads have it do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, Final

from etcd_channel import ClientClosedError, ClientForkedError
from etcd_sync._operation import Operation, Tasks

__all__ = ["CLOSED", "CLOSING_TIME", "FORKED", "GIVE_BACK_TIME", "LoopThread", "open_threads"]

GIVE_BACK_TIME: Final = 5.0
"""Seconds that cancelled operations may take to give back what they hold."""

CLOSING_TIME: Final = 3 * GIVE_BACK_TIME
"""Seconds after which a thread that was stopped has ended, unless something blocks its loop."""

CLOSED: Final = "the client is closed"
FORKED: Final = (
    "the client was used before this process was forked: close every client before the fork, or"
    " start processes by 'spawn' or 'forkserver'"
)

# Seconds that a fork waits for the thread to stand still, and the thread for the end of the fork.
_STILL_TIME = 1.0

# Seconds between two looks at whether the thread has ended.
_SLICE = 0.1

_NOBODY: Final = object()

_log = logging.getLogger("etcd_sync")

open_threads: weakref.WeakSet[LoopThread] = weakref.WeakSet()
"""The threads that have not ended; in a forked process, those of its parent."""


class LoopThread:
    """A thread that runs an event loop until `stop`.

    `closing` is awaited in the loop at the end. The thread does not keep the process alive.
    """

    def __init__(self, closing: Callable[[], Awaitable[object]] | None) -> None:
        self.stopped = False
        """Whether `stop` was called: nothing new should begin."""
        self.inherited = False
        """Whether this process was forked after it was made: it does not have the thread."""
        self.begun = False
        """Whether the loop runs, or has run."""
        self.tasks: Tasks = {}
        """The tasks of operations and blocks; changed in the loop only."""
        self._closing = closing
        self._queue: deque[Operation[Any]] = deque()
        self.over = False
        """Whether the loop has ended, or will never run."""
        self.failure: OSError | None = None
        """Why no loop could be made."""
        # Released at the end. Not an Event, whose lock a signal handler would find taken.
        self._running = threading.Lock()
        self._running.acquire()
        # Who runs the loop: a thread, or `_NOBODY` if it was stopped before. `setdefault` decides.
        self._runner: dict[None, object] = {}
        self._ident = 0
        # The loop and what wakes it are made in the thread: an interrupt that reached the making of
        # them would leave half of it, and asyncio would write to stderr.
        self.loop: asyncio.AbstractEventLoop | None = None
        self._bell: socket.socket | None = None
        # What is to be called in the loop when there is one.
        self._early: deque[Callable[[], object]] = deque()
        self._stop = asyncio.Event()
        # Whether no operation is started any more: those that are left are refused.
        self._last = False
        open_threads.add(self)

    def __del__(self) -> None:
        # Another one may have been used in its place. One that is begun is not deleted.
        if hasattr(self, "_stop"):
            self.stop()

    # From any thread -------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; idempotent, also if an exception interrupts it."""
        if not (self.begun or self.stopped):
            threading.Thread(target=self._run, name="etcd_sync", daemon=True).start()

    def submit(self, operation: Operation[Any]) -> None:
        """Have an operation started; if the thread has ended, or is the parent's, it is refused.

        There is no lock, so that a signal handler or a finalizer may call this in the middle of
        another call.
        """
        self._queue.append(operation)
        self._ring()
        if self.stopped:
            self._discard_if_ended()

    def _ring(self) -> None:
        bell = self._bell
        if bell is None or self.inherited:
            return  # the loop looks at the queue when it begins; that of the parent must not wake
        try:
            bell.send(b"\0")
        except OSError:  # it is closed, or has no room
            self.call_soon(self._start_all)

    def cancel(self, operation: Operation[Any]) -> None:
        """Cancel an operation, even if its submission was interrupted."""
        self.call_soon(self._start_all)
        self.call_soon(operation.cancel)
        self._discard_if_ended()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call a function in the loop, or never if the loop has ended or is the parent's."""
        if self.inherited:
            return  # it would wake the loop of the parent
        loop = self.loop
        if loop is None:
            self._early.append(partial(function, *args))
            loop = self.loop
            if loop is None:
                return
            function, args = self._call_early, ()
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            pass  # it is closed

    def stop(self) -> None:
        """Begin to end the thread; idempotent."""
        self.stopped = True
        self.call_soon(self._stop.set)
        if not self.inherited and self._runner.setdefault(None, _NOBODY) is _NOBODY:
            self._end()

    def stand_still(self) -> Callable[[], object]:
        """Stop the loop between two steps; return a function that has it go on."""
        still, go_on = threading.Event(), threading.Event()

        def pause() -> None:
            still.set()
            go_on.wait(_STILL_TIME)

        if self.begun and threading.get_ident() != self._ident:
            self.call_soon(pause)
            still.wait(_STILL_TIME)
        return go_on.set

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; return whether it has."""
        deadline = monotonic() + timeout
        # In slices: an interrupt may leave the lock taken.
        while not self.over and (left := deadline - monotonic()) > 0:
            if self._running.acquire(timeout=min(left, _SLICE)):
                self._running.release()
        return self.over

    def _discard_if_ended(self) -> None:
        while (self.inherited or self.over) and self._queue:
            with contextlib.suppress(IndexError):  # another thread may have taken it
                operation = self._queue.popleft()
                if not operation.ended:
                    operation.end(self._refusal())

    def _refusal(self) -> Exception:
        if self.failure is not None:
            return OSError(*self.failure.args)
        return ClientForkedError(FORKED) if self.inherited else ClientClosedError(CLOSED)

    # In the loop -----------------------------------------------------------------------

    def _start_when_told(self, rung: socket.socket) -> None:
        try:
            rung.recv(64)
        except BlockingIOError:
            pass  # it was read before
        self._start_all()

    def _call_early(self) -> None:
        while self._early:
            asyncio.get_running_loop().call_soon(self._early.popleft())

    def _start_all(self) -> None:
        loop = self.loop
        assert loop is not None
        queue = self._queue
        while queue and not self._last:
            queue.popleft().start(loop, self.tasks)

    def _run(self) -> None:
        runner = object()
        if self._runner.setdefault(None, runner) is not runner:
            return  # another one runs the loop, or it was stopped before
        self.begun, self._ident = True, threading.get_ident()
        try:
            # It is woken by sockets of its own. `call_soon_threadsafe` does it in the same way, but
            # also makes a handle in each call, and reads until there is nothing more to read.
            bell, rung = socket.socketpair()
            with bell, rung:
                bell.setblocking(False)
                rung.setblocking(False)
                self.loop = loop = asyncio.new_event_loop()
                self._bell = bell
                asyncio.set_event_loop(loop)
                loop.set_exception_handler(_handle)
                loop.run_until_complete(self._serve(loop, rung))
        except OSError as error:
            if self._bell is not None:
                raise
            self.failure = error.with_traceback(None)  # no file descriptor is free
        finally:
            self.stopped = True
            self._end()
            # What was cancelled in vain: no thread waits for it any longer.
            for operation in tuple(self.tasks.values()):
                if operation is not None and not operation.ended:
                    operation.end(asyncio.CancelledError())

    def _end(self) -> None:
        if self.loop is not None:
            self.loop.close()
        open_threads.discard(self)
        self.over = True
        with contextlib.suppress(RuntimeError):  # it was released before
            self._running.release()
        self._discard_if_ended()

    async def _serve(self, loop: asyncio.AbstractEventLoop, rung: socket.socket) -> None:
        loop.add_reader(rung, self._start_when_told, rung)
        self._call_early()
        self._start_all()
        await self._stop.wait()
        # What is held is given back while the client is still connected.
        await _end_tasks(lambda: set(self.tasks))
        if self._closing is not None:
            closing = asyncio.ensure_future(self._closing())
            await asyncio.wait([closing], timeout=GIVE_BACK_TIME)
            if closing.done() and not closing.cancelled() and (error := closing.exception()):
                _log.warning("the client was not closed cleanly: %s", repr(error))
        # A task that is made in the last iteration of the loop would never run.
        self._last = True
        this = asyncio.current_task()
        await _end_tasks(lambda: asyncio.all_tasks() - {this})
        await loop.shutdown_asyncgens()


async def _end_tasks(tasks: Callable[[], set[asyncio.Task[Any]]]) -> None:
    """Cancel tasks, and those that begin meanwhile, and wait until they have ended."""
    deadline = monotonic() + GIVE_BACK_TIME
    cancelled: set[asyncio.Task[Any]] = set()
    loop = asyncio.get_running_loop()
    while (left := tasks()) and (time := deadline - monotonic()) > 0:
        for task in left - cancelled:
            # After its first step: a task that is cancelled before never runs, and ends nothing.
            loop.call_soon(task.cancel)
        cancelled |= left
        await asyncio.wait(left, timeout=time, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report an error of a callback, but not one that gRPC makes when a process has several loops.

    grpc.aio has one queue of events for all of them. It may wake a loop for nothing, or for an
    event of a loop that was closed since (https://github.com/grpc/grpc/issues/25364).
    """
    late = isinstance(context.get("exception"), (BlockingIOError, RuntimeError))
    if not (late and "PollerCompletionQueue._handle_events" in str(context.get("message"))):
        loop.default_exception_handler(context)
