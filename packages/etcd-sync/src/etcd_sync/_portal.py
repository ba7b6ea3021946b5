"""`Portal`: runs coroutines in an event loop of its own, for threads without one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from etcd_channel import ClientClosedError, ClientForkedError, NonCopyable
from etcd_sync._at_exit import exiting, stop_here_at_exit
from etcd_sync._blocks import Block
from etcd_sync._interruption import cancel_and_wait, insist, raise_later, wait_to_the_end
from etcd_sync._iteration import Iteration
from etcd_sync._loop_thread import CLOSED, CLOSING_TIME, FORKED, LoopThread
from etcd_sync._operation import Call, Operation, Run

__all__ = ["Portal"]

T = TypeVar("T")
P = ParamSpec("P")

_IN_A_LOOP = (
    "an event loop runs in this thread, and a synchronous call would block it: use"
    " etcd_client.Client, whose methods are awaited, or call this one by asyncio.to_thread"
)
_IN_OWN_LOOP = (
    "this is the thread of the client itself, which calls callbacks such as on_reconnect, and it"
    " cannot wait for itself: call the client in another thread"
)

# Public in spite of its name; it returns None where `get_running_loop` raises, which costs more.
_running_loop = asyncio._get_running_loop

# Seconds after which a wait looks for signals.
_SLICE = 0.5

_log = logging.getLogger("etcd_sync")


class Portal(NonCopyable):
    """Runs coroutines in an event loop of its own, in a thread of its own.

    The thread starts with the first call. `closing` is awaited in the loop when the portal is
    closed; it closes the asynchronous client. All methods may be called by any number of threads
    at once. A call is refused with

    - `RuntimeError` in a thread where an event loop runs, and in the portal's own thread,
    - `ClientClosedError` after `close`, until `reopen`,
    - `ClientForkedError` in a forked process, if the thread was started before the fork.

    An exception that arrives while a thread waits, such as the `KeyboardInterrupt` of Ctrl-C,
    cancels what the thread waits for. It is raised when that has given back what it holds, or
    after five seconds; another Ctrl-C meanwhile changes nothing. If there is a result in spite of
    the cancellation, it is returned, and Ctrl-C arrives right after that.

    When the interpreter exits, open portals are closed. Daemon threads that wait then, or call a
    portal later, do not continue. A portal that is garbage collected is closed in the background.
    """

    def __init__(self, closing: Callable[[], Awaitable[object]] | None = None) -> None:
        # No lock guards these: a signal handler or a finalizer that calls the portal may run at any
        # step of another call, in the same thread, and would wait for itself.
        self._closing = closing
        self._closed = False
        # One at most. `setdefault` decides whose is used if several threads make one at once.
        self._made: dict[None, LoopThread] = {}
        # The same, if it was started.
        self._thread: LoopThread | None = None
        # The blocks that were entered and not left, in that order.
        self._blocks: dict[Block[Any], None] = {}

    # Calls -----------------------------------------------------------------------------

    def run(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the loop, await what it returns, and return the result of that.

        It has the context variables of the caller; the caller does not see what it sets. The
        function is called in the loop too: Python would write a warning if the caller made the
        coroutine and was interrupted before it is awaited.
        """
        thread = self._thread
        if thread is None or thread.stopped or _running_loop() is not None:
            thread = self.thread()
        return self._wait(thread, Run(partial(function, *args, **kwargs)))

    def run_in(
        self,
        thread: LoopThread,
        function: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `run`, in the loop of `thread`, also if the portal was closed and opened again."""
        return self._wait(thread, Run(partial(function, *args, **kwargs)))

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function in the thread of the loop, and return its result.

        For what is not safe in another thread.
        """
        return self._wait(self.thread(), Call(partial(function, *args, **kwargs)))

    def iterate(self, iterable: AsyncIterable[T]) -> Iteration[T]:
        """Return an iterator over what an asynchronous iterator yields.

        The loop is asked for each item when the caller asks for it. The asynchronous iterator is
        closed, by `aclose` if it has that, when the iterator is closed, left as a context manager,
        or garbage collected.
        """
        return Iteration(self, iterable)

    # Context managers ------------------------------------------------------------------

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context manager in the loop, and return what it returns.

        `exit` with the same manager leaves it, normally in the same thread. Several threads may be
        in blocks of one manager at once.
        """
        block = Block(manager, self.thread())
        try:
            return self.run_in(block.thread, self._entered, block)
        except BaseException as error:
            # First, before any call, at which an interrupt may arrive.
            block.abandoned = True
            if block.entered:
                self._leave(block, type(error), error, error.__traceback__)
            raise
        finally:
            del block  # its task keeps the error, whose traceback refers to this frame

    async def _entered(self, block: Block[T]) -> T:
        # The block is noted here in the loop, which no interrupt reaches: what is entered is known
        # to `exit`, however many interrupts reach the thread that enters it.
        value = await block.enter()
        self._blocks[block] = None
        if block.abandoned:
            await block.leave(None, None, None)
            self._forget(block)
        return value

    def exit(
        self,
        manager: AbstractAsyncContextManager[Any],
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
        /,
    ) -> bool | None:
        """Leave a manager that `enter` entered; return whether it suppresses `error`.

        It is left to the end even if Ctrl-C is pressed meanwhile, which is raised after that.
        """
        block: Block[Any] | None = None
        try:
            block = self._innermost(manager)
            if block is not None:
                leave = partial(block.leave, kind, error, trace)
                suppressed = self._wait(block.thread, Run(leave))
                self._forget(block)
                return suppressed
        except BaseException as failure:
            block = block or self._innermost(manager)
            if block is not None:
                self._leave(block, kind, error, trace)
            if error is not None and isinstance(failure, (ClientClosedError, ClientForkedError)):
                return None
            raise
        finally:
            del block  # its task keeps the error, whose traceback refers to this frame
        raise RuntimeError(f"this was left more often than entered: {manager!r}")

    def _innermost(self, manager: AbstractAsyncContextManager[Any]) -> Block[Any] | None:
        """Return the block that was entered last, by this thread if it has entered any."""
        # Not with generators: an interrupt that arrives while one is finalized is lost.
        blocks = [block for block in list(self._blocks) if block.manager is manager]
        own = threading.get_ident()
        blocks = [block for block in blocks if block.owner == own] or blocks
        return blocks[-1] if blocks else None

    def _leave(
        self,
        block: Block[Any],
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave a block whatever exceptions arrive, unless its end has begun."""
        if not block.left:
            insist(block.thread, Run(partial(block.leave, kind, error, trace)))
        self._forget(block)

    def _forget(self, block: Block[Any]) -> None:
        self._blocks.pop(block, None)

    # Opening and closing ---------------------------------------------------------------

    def thread(self) -> LoopThread:
        """Return the thread of the loop, which is started if necessary, or refuse the call."""
        loop = _running_loop()
        if loop is not None:
            own = self._thread is not None and loop is self._thread.loop
            raise RuntimeError(_IN_OWN_LOOP if own else _IN_A_LOOP)
        made = self._made
        thread = made.get(None)
        if thread is not None and (thread.failure or (thread.inherited and not thread.begun)):
            made.pop(None, None)  # it never ran
            thread = None
        if thread is None and not self._closed and not exiting():
            thread = made.setdefault(None, LoopThread(self._closing))
        if thread is not None:
            if thread.inherited:
                raise ClientForkedError(FORKED)
            thread.start()
            self._thread = thread
            if self._closed or self._made is not made:  # by another thread, which did not see it
                thread.stop()
            if thread.failure or not thread.stopped:
                return thread
        stop_here_at_exit()
        raise ClientClosedError(CLOSED)

    def close(self) -> None:
        """End all waits with a `ClientClosedError`, await `closing`, and end the thread.

        Idempotent; each call returns when the thread has ended, and blocks that were entered are
        left by then. An exception that arrives meanwhile is raised after that.
        """
        self._closed = True
        thread = self._made.get(None)
        if thread is None or thread.inherited:
            return

        def end(timeout: float) -> bool:
            thread.stop()
            return thread.join(timeout)

        if thread.loop is not None and _running_loop() is thread.loop:
            thread.stop()
            return  # it cannot wait for itself
        if not wait_to_the_end(end, CLOSING_TIME):
            _log.warning("the thread of a closed client did not end in %d s", CLOSING_TIME)

    def reopen(self) -> None:
        """Accept calls again after `close`, which start another thread."""
        if self._closed:
            self.close()  # another thread may be about to
            self._made = {}
            self._thread = None
            self._closed = False

    def __del__(self) -> None:
        thread = getattr(self, "_made", {}).get(None)
        if thread is not None:
            thread.stop()

    # -----------------------------------------------------------------------------------

    def _wait(self, thread: LoopThread, operation: Operation[T]) -> T:
        try:
            thread.submit(operation)
            # In slices: Python notices a signal that arrives right before a wait only after it.
            while not operation.done.acquire(timeout=_SLICE):
                pass
        except BaseException as error:
            cancel_and_wait(thread, operation)
            if not operation.ended or operation.error is not None:
                raise
            if not raise_later(error, thread):
                raise
        failure = operation.error
        if failure is None:
            return operation.result
        stop_here_at_exit()
        if isinstance(failure, asyncio.CancelledError) and thread.stopped:
            failure = ClientClosedError("the client was closed during the call", definite=False)
        try:
            raise failure
        finally:
            # The traceback refers to this frame.
            operation.error = None
            del failure
