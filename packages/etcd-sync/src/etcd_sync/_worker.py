"""`Worker`: a thread that calls functions of the user, in order, for the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from etcd_channel.tasks import finish
from etcd_sync._request import Request

__all__ = ["Callback", "Worker", "in_thread", "posted", "user_function"]

T = TypeVar("T")

_IDLE: Final = 5.0
"""Seconds after which the thread ends if there is nothing to call; a later call starts another."""

_log = logging.getLogger("etcd_sync")


class Worker:
    """Calls functions in a thread that runs while there is something to call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._running = False

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Call a function; return its result."""
        request = Request(function, *args)
        self._add(partial(_serve, request))
        return await request.result()

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Call a function, without waiting; its error is logged."""

        def serve() -> None:
            try:
                function(*args)
            except BaseException:  # `sys.exit` must not end the thread, which later calls rely on
                _log.exception("%r failed", function)

        self._add(serve)

    def _add(self, serve: Callable[[], object]) -> None:
        with self._changed:
            if not self._running:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._running = True
            self._waiting.append(serve)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._changed.wait_for(
                    lambda: bool(self._waiting), _IDLE
                ):
                    self._running = False
                    return
                serve = self._waiting.popleft()
            serve()
            del serve


class Callback:
    """A callback of the user as an asynchronous one; it is called in a thread of its own."""

    def __init__(self, function: Callable[..., object]) -> None:
        if not callable(function):
            raise TypeError(f"callback must be callable, not {type(function).__name__}")
        self.function = function
        self._worker = Worker("etcd_sync callback")

    async def __call__(self, *args: object) -> None:
        await self._worker.call(self.function, *args)


def user_function(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a `Callback` was made of."""
    return callback.function if isinstance(callback, Callback) else callback


def posted(function: Callable[[T], object] | None) -> Callable[[T], object] | None:
    """Return a function that has another one called in a thread of its own, in order."""
    if not callable(function):
        return function
    worker = Worker("etcd_sync callback")
    return partial(worker.post, function)


async def in_thread(function: Callable[..., T], *args: object, ending: threading.Event) -> T:
    """Call a function in a thread of its own, and return its result.

    On cancellation `ending` is set; the cancellation is raised when the function has returned.
    """
    request = Request(function, *args)
    threading.Thread(target=_serve, args=(request,), name="etcd_sync work", daemon=True).start()
    waiting = asyncio.create_task(request.result())
    try:
        await asyncio.wait([waiting])
    except asyncio.CancelledError as cancellation:
        ending.set()
        await finish(_ended(waiting), cancellation)
        if waiting.exception() is None:
            raise
    return waiting.result()


async def _ended(waiting: asyncio.Task[Any]) -> None:
    await asyncio.wait([waiting])


def _serve(request: Request[Any]) -> None:
    """Serve a request in a thread that nothing else waits for, and tell its task."""
    # The task has an error for each exception.
    with contextlib.suppress(BaseException):
        request.serve()
    # If the loop is closed nothing waits.
    with contextlib.suppress(RuntimeError):
        request.loop.call_soon_threadsafe(request.served)
