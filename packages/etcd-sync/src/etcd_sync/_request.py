"""`Request`: a function of the user that the event loop has called in another thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from threading import local
from typing import Any, Generic, TypeVar

__all__ = ["Request", "current_request", "in_waiting_task"]

T = TypeVar("T")

_Answer = tuple[Any, Exception | None]
_Delegated = tuple[Callable[[], Awaitable[Any]], "asyncio.Future[Any]"]

_serving = local()


def current_request() -> Request[Any] | None:
    """Return the request that the current thread serves; None if it serves none."""
    return getattr(_serving, "request", None)


class Request(Generic[T]):
    """A call of a function in a thread that serves it, for a task that waits for its result.

    The function may use the client like any other code. What it must do in the waiting task it
    delegates to it.
    """

    def __init__(self, function: Callable[..., T], *args: object) -> None:
        self._function = function
        self._args = args
        self.loop = asyncio.get_running_loop()
        self._answer: _Answer = (None, None)
        # What the thread has sent to the task: what to call and await, or None with the answer.
        self._inbox: asyncio.Queue[_Delegated | None] = asyncio.Queue()

    # In the thread ---------------------------------------------------------------------

    def serve(self) -> None:
        """Call the function. Exceptions are for the task; others, as of `sys.exit`, are raised."""
        before = current_request()
        _serving.request = self
        try:
            self._answer = _plain(self._function(*self._args)), None
        except Exception as error:  # raised in the task
            self._answer = None, error
        except BaseException as error:
            # It would end the event loop.
            self._answer = None, RuntimeError(f"the function raised {error!r}")
            raise
        finally:
            _serving.request = before

    # In the loop -----------------------------------------------------------------------

    def served(self) -> None:
        """Tell the task that the function has returned."""
        self._inbox.put_nowait(None)

    async def delegate(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Have the task that waits for the function call and await `work`; return its result."""
        done = self.loop.create_future()
        self._inbox.put_nowait((work, done))
        return await done

    async def result(self) -> T:
        """Wait for the result of the function, and await what it delegates."""
        try:
            while (delegated := await self._inbox.get()) is not None:
                # An interrupted call of the function waits no longer, and is not to be executed.
                if not delegated[1].done():
                    await _settle(*delegated)
        finally:
            while not self._inbox.empty():
                rest = self._inbox.get_nowait()
                if rest is not None:
                    rest[1].cancel()
        # An error has a traceback with the frame of `serve`.
        (value, error), self._answer = self._answer, (None, None)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        return value  # type: ignore[no-any-return]  # of the function


async def in_waiting_task(request: Request[Any] | None, work: Callable[[], Awaitable[T]]) -> T:
    """Call and await `work` in the task that waits for a function, if it is of this loop."""
    if request is None or request.loop is not asyncio.get_running_loop():
        return await work()
    result: T = await request.delegate(work)
    return result


async def _settle(work: Callable[[], Awaitable[Any]], done: asyncio.Future[Any]) -> None:
    try:
        value = await work()
    except BaseException as error:
        if not done.done():
            done.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        if not done.done():
            done.set_result(value)


def _plain(value: Any) -> Any:
    """Return the result of a function; refuse that of an asynchronous one."""
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("the function must be a plain one, not an async function")
    return value
