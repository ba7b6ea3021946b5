"""A coroutine that waits for a loss, and that may be awaited any number of times."""

from __future__ import annotations

import asyncio
import weakref
from abc import abstractmethod
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Protocol, TypeVar

from etcd_channel import ClientError, NonCopyable
from etcd_lease._clock import now
from etcd_lease._state import LeaseState
from etcd_lease.blocks import LossNotices, current_task
from etcd_lease.errors import LeaseExpiredError

__all__ = ["LeaseLoss", "Loss", "loss_notices", "until_lost"]

ErrorT_co = TypeVar("ErrorT_co", bound=ClientError, covariant=True)


class Loss(NonCopyable, Coroutine[Any, Any, ErrorT_co]):
    """Waits until something is lost, and returns the error; see `Lease.lost`.

    It is a coroutine, so `asyncio.create_task` takes it. Unlike other coroutines it may be awaited
    any number of times, and by several tasks at once, and Python does not warn if it is never
    awaited.
    """

    def __init__(self) -> None:
        # The task that made this object counts as notified, even if another task does the waiting.
        creator = current_task()
        self._creator = None if creator is None else weakref.ref(creator)
        # The waits that a task has begun by calling `send`.
        self._begun: dict[asyncio.Task[Any] | None, Coroutine[Any, Any, ErrorT_co]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(waiting={len(self._begun)})"

    def __await__(self) -> Generator[Any, Any, ErrorT_co]:
        return self._wait().__await__()

    def send(self, value: Any) -> Any:
        task = asyncio.current_task()
        wait = self._begun.get(task)
        if wait is None:
            wait = self._begun[task] = self._wait()
        return self._step(task, partial(wait.send, value))

    def throw(self, *error: Any) -> Any:
        task = asyncio.current_task()
        wait = self._begun.get(task) or self._wait()
        return self._step(task, partial(wait.throw, *error))

    def close(self) -> None:
        for wait in self._begun.values():
            wait.close()
        self._begun.clear()

    def _step(self, task: asyncio.Task[Any] | None, step: partial[Any]) -> Any:
        try:
            return step()
        except BaseException:
            # Any exception ends the wait, StopIteration with its result included.
            self._begun.pop(task, None)
            raise

    def _created_by(self) -> asyncio.Task[Any] | None:
        return None if self._creator is None else self._creator()

    @abstractmethod
    async def _wait(self) -> ErrorT_co:
        """Wait, and return the error."""


class LeaseLoss(Loss[LeaseExpiredError]):
    """Waits until a lease is lost; see `Lease.lost`."""

    def __init__(self, state: LeaseState) -> None:
        super().__init__()
        self._state = state

    async def _wait(self) -> LeaseExpiredError:
        error = await until_lost(self._state)
        self._state.notices.add(self._created_by())
        return error

    def __repr__(self) -> str:
        return f"LeaseLoss(lease={self._state.id})"


class _WithState(Protocol):
    """A `Lease`."""

    _state: LeaseState


def loss_notices(lease: _WithState) -> LossNotices:
    """Return the record of which tasks were notified that a lease is lost.

    For packages that are built on leases.
    """
    return lease._state.notices


async def until_lost(state: LeaseState) -> LeaseExpiredError:
    """Wait until a lease is lost, and return the error."""
    loop = asyncio.get_running_loop()
    while (reason := state.lost(now())) is None:
        changed: asyncio.Future[None] = loop.create_future()
        wake = partial(_wake, changed)
        state.add_listener(wake)
        try:
            # There is no event for the end of the time to live, so it limits the wait.
            timeout = state.remaining(now()) if state.confirmed else None
            await asyncio.wait([changed], timeout=timeout)
        finally:
            state.remove_listener(wake)
    return state.error(reason)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
