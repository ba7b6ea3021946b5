"""What an `async with` raises when the lease, session, lock or mutex that it entered is lost.

For packages that are built on leases. They all follow these rules:

- What the body itself releases, revokes or closes does not count as lost.
- With `cancel_on_loss` the body is cancelled, even if it was notified of the loss. The error for
  the loss is raised in place of that `CancelledError`.
- Without `cancel_on_loss` the error is raised at the end of the block, unless the body was
  notified before: `lost` was awaited, or a method raised the error for the loss.
- An error that the body raises is raised; the loss is appended to its chain of `__context__`s.
- A cancellation by anything else is raised unchanged.
- Each loss is one line in the log, of level WARNING.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from etcd_channel import ChannelLike, ClientError

__all__ = ["Block", "LossNotices", "current_task"]


class LossNotices:
    """The tasks that were notified of a loss: its error is not raised again at the end."""

    __slots__ = ("_enders", "_tasks", "given")

    def __init__(self) -> None:
        self.given = False
        """Whether `lost` has returned, or a method has raised the error, in any task."""
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] | None = None
        self._enders: weakref.WeakSet[asyncio.Task[Any]] | None = None

    def __repr__(self) -> str:
        return f"LossNotices(given={self.given})"

    def add(self, creator: asyncio.Task[Any] | None = None) -> None:
        """Record that the current task was notified, and `creator`, if it is another task."""
        self.given = True
        for task in (current_task(), creator):
            if task is not None:
                if self._tasks is None:
                    self._tasks = weakref.WeakSet()
                self._tasks.add(task)

    def record_own_end(self) -> None:
        """Record that the current task itself ends what it holds, which is no loss for it."""
        task = current_task()
        if task is not None:
            if self._enders is None:
                self._enders = weakref.WeakSet()
            self._enders.add(task)

    def ended_by(self, task: asyncio.Task[Any]) -> bool:
        """Whether this task itself ended what it held."""
        return self._enders is not None and task in self._enders

    @property
    def given_to_current_task(self) -> bool:
        """Whether the current task was notified, or itself ended what it held."""
        task = current_task()
        if task is None:
            return False
        return (self._tasks is not None and task in self._tasks) or self.ended_by(task)


class Block:
    """The `async with` blocks that were entered with one object, which can be lost.

    Several tasks may be in a block at the same time. A failure to release the object is logged
    to `log`.
    """

    def __init__(self, channel: ChannelLike, log: logging.Logger) -> None:
        self._channel = channel
        self._log = log
        # A task may enter a block in another one, for example after the loss.
        self._guards: dict[asyncio.Task[Any], list[_Guard]] = {}

    def __repr__(self) -> str:
        return f"Block(entered={sum(map(len, self._guards.values()))})"

    def cancel_on_loss(
        self,
        lost: Callable[[], Coroutine[Any, Any, ClientError | None]],
        notices: LossNotices,
        message: str,
    ) -> None:
        """Cancel the current task, which enters the block, when `lost` returns an error.

        It is not cancelled if `lost` returns None, or if `notices` says that the task itself
        ended what it held. `message` is the message of the cancellation.
        """
        task = asyncio.current_task()
        assert task is not None
        self._guards.setdefault(task, []).append(_Guard(task, lost, notices, message))

    async def leave(
        self,
        error: BaseException | None,
        releasing: Coroutine[Any, Any, ClientError | None] | None,
        *,
        notified: bool,
        notify: Callable[[], None],
    ) -> None:
        """Await `releasing` to its end, and raise an error by the rules of this module.

        `error` is the exception of the body, None if it raised none. `releasing` releases the
        object and returns the error for its loss, None if it was not lost; pass None if the body
        has released the object itself. `notified` says whether the body was notified of a loss;
        `notify` records that it is notified now.
        """
        guard = self._guard()
        mine = guard is not None and guard.leave()
        own = guard is not None and isinstance(error, asyncio.CancelledError) and guard.made(error)
        # Of the guard's cancellation and one from elsewhere, only the latter may be raised.
        after = None if mine or own else error
        loss: ClientError | None
        try:
            loss = await self._channel.run_to_completion(_last(guard, releasing), after)
        except asyncio.CancelledError as cancellation:
            if guard is None or not mine or not guard.is_only_cause(cancellation):
                raise
            loss = None
        except Exception as failure:
            if error is None and not mine:
                raise
            # The error of the body, or the loss, takes precedence, also over an error of a view of
            # the channel. The object ends with its lease.
            self._log.warning("could not be released: %s", repr(failure))
            loss = None
        if guard is not None and mine:
            loss = loss or guard.error
            if loss is not None and isinstance(error, asyncio.CancelledError):
                notify()
                raise loss
        if loss is None:
            return
        if error is None:
            if not notified:
                notify()
                raise loss
        elif isinstance(error, Exception):
            _chain(error, loss)

    def _guard(self) -> _Guard | None:
        if not self._guards:
            return None
        task = current_task()
        if task is None or task not in self._guards:
            # The body is left in another task than it was entered in.
            task = next(iter(self._guards))
        guards = self._guards[task]
        guard = guards.pop()
        if not guards:
            del self._guards[task]
        return guard


class _Guard:
    """Cancels a task when something is lost, until `leave` is called."""

    def __init__(
        self,
        body: asyncio.Task[Any],
        lost: Callable[[], Coroutine[Any, Any, ClientError | None]],
        notices: LossNotices,
        message: str,
    ) -> None:
        self.error: ClientError | None = None
        """The error for the loss, once the body was cancelled for it."""
        self._body = body
        self._notices = notices
        self._message = message
        self._waiting = asyncio.create_task(self._cancel_when_lost(lost))

    async def _cancel_when_lost(
        self, lost: Callable[[], Coroutine[Any, Any, ClientError | None]]
    ) -> None:
        error = await lost()
        if error is not None and not self._notices.ended_by(self._body):
            self.error = error
            self._body.cancel(self._message)

    def leave(self) -> bool:
        """Stop waiting for a loss; return whether a loss, and nothing else, cancelled the body."""
        self._waiting.cancel()
        if self.error is None:
            return False
        if sys.version_info < (3, 11):
            return True  # Python 3.10 does not count the cancellations of a task
        return self._body.uncancel() == 0

    async def left(self) -> None:
        """Wait until the waiting task has ended; call it after `leave`."""
        await asyncio.wait([self._waiting])

    def made(self, cancellation: asyncio.CancelledError) -> bool:
        """Whether this object raised the cancellation, for the loss."""
        return self.error is not None and cancellation.args == (self._message,)

    def is_only_cause(self, cancellation: asyncio.CancelledError) -> bool:
        """Whether the loss alone caused this cancellation, which may arrive after the body."""
        if sys.version_info >= (3, 11) and self._body.cancelling():
            return False  # There is another cancellation, which must be raised.
        return self.made(cancellation)


async def _last(
    guard: _Guard | None, releasing: Coroutine[Any, Any, ClientError | None] | None
) -> ClientError | None:
    if guard is not None:
        await guard.left()
    return None if releasing is None else await releasing


def _chain(error: BaseException, loss: ClientError) -> None:
    """Append `loss` to the chain of errors that led to `error`, if it is not in the chain."""
    last, seen = error, {id(error)}
    while not _same(last, loss):
        before = last.__cause__ or last.__context__
        if before is None or id(before) in seen:
            last.__context__ = loss
            return
        last = before
        seen.add(id(last))


def _same(error: BaseException, loss: ClientError) -> bool:
    """Whether both are about the same loss: of one lease, or of one key with that lease."""
    if error is loss or getattr(error, "lease_id", None) != getattr(loss, "lease_id", 0):
        return error is loss
    return len({getattr(each, "key", None) for each in (error, loss)} - {None}) < 2


def current_task() -> asyncio.Task[Any] | None:
    """Return the current task; None outside of a task or without a running event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no event loop runs
