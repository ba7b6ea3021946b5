"""Awaits gRPC's calls so that the cancellation of a task reaches its caller unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, TypeVar

__all__ = ["CallCancelled", "grpc_result"]

T = TypeVar("T")


class CallCancelled(Exception):
    """The call was cancelled, not the task that awaits it.

    gRPC cancels calls when their gRPC channel is closed.
    """


@coroutine
def grpc_result(awaitable: Awaitable[T]) -> Generator[Any, None, T]:
    """Await a call of gRPC, and distinguish a cancelled task from a cancelled call.

    gRPC raises its own `CancelledError` in both cases and drops the message of the task's
    cancellation, by which anyio recognizes its own cancellations. If the response arrives at the
    same moment, gRPC returns it and the cancellation is lost.

    This raises the task's `CancelledError` with its message whenever the task was cancelled, and
    `CallCancelled` if only the call was cancelled.
    """
    # The hot path of every call: nothing is prepared that is needed only after a failure.
    steps = awaitable.__await__()
    cancelled: asyncio.CancelledError | None = None
    waiter: _Waiter | None = None
    try:
        waited_for = steps.send(None)
        while True:
            if waited_for is None:  # a bare yield, as in asyncio.sleep(0)
                yield None
                waited_for = steps.send(None)
                continue
            waiter = _Waiter(waited_for)
            try:
                yield waiter
            except GeneratorExit:
                raise
            except BaseException as error:
                if cancelled is None:
                    cancelled = waiter.as_raised(error)
                waited_for = steps.throw(error)
            else:
                if waiter.cancelled is not None:
                    cancelled = cancelled or waiter.cancelled
                waited_for = steps.send(None)
    except StopIteration as end:
        if cancelled is None:
            result: T = end.value
            return result
    except asyncio.CancelledError:
        if cancelled is None:
            raise CallCancelled from None
    except BaseException:
        if cancelled is None:
            raise
    # A TimeoutError of asyncio has the cancellation as its cause. A program that keeps that error
    # must not keep gRPC's call by it, neither by this frame nor by frames of gRPC: the call keeps
    # the TCP connection open.
    del awaitable, steps, waiter
    try:
        raise cancelled.with_traceback(None) from None
    finally:
        del cancelled


class _Waiter:
    """Wraps the future that gRPC waits for, and records a cancellation of the task.

    asyncio accepts as a future any object with `_asyncio_future_blocking` (`asyncio.isfuture`),
    and passes a cancellation of the task to the future that the task waits for.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "add_done_callback",
        "cancelled",
        "future",
        "get_loop",
    )

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._asyncio_future_blocking = True
        self.future = future
        self.get_loop = future.get_loop
        self.add_done_callback = future.add_done_callback
        self.cancelled: asyncio.CancelledError | None = None
        """The first cancellation of the task."""

    def cancel(self, msg: Any | None = None) -> bool:
        if self.cancelled is None:
            self.cancelled = asyncio.CancelledError(*(() if msg is None else (msg,)))
        return self.future.cancel(msg)

    def as_raised(self, error: BaseException) -> asyncio.CancelledError | None:
        """Return the cancellation of the task, or None; `error` was thrown into the task."""
        if isinstance(error, asyncio.CancelledError) and error.args and self.cancelled is not None:
            return error  # it has the message that asyncio chose if there were several
        return self.cancelled

    def done(self) -> bool:
        return self.future.done()
