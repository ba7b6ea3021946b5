"""Cancels an operation at each of its awaits, once and repeatedly."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from itertools import count, product
from typing import Any, Generic, TypeVar

__all__ = ["cancel_everywhere"]

T = TypeVar("T")

# Iterations of the event loop after which an await is cancelled; None: when the awaited future is
# done, so that its result and the cancellation arrive together.
_FIRST = (0, 1, 2, 3, None)
# Iterations from one cancellation to the next.
_BETWEEN = (0, 1, 2, 3)
# The messages of the first cancellation and of later ones.
_MESSAGE = "the first cancellation"
_LATER = "later cancellation"
# Seconds after which an operation counts as hung.
_HANG = 60.0


async def cancel_everywhere(
    operation: Callable[[], Coroutine[Any, Any, T]],
    check: Callable[[], Awaitable[object]],
    *,
    undo: Callable[[T], Awaitable[object]] | None = None,
    every: int = 1,
) -> int:
    """Run an operation repeatedly, cancel it at each of its awaits, and return how often.

    Each await is cancelled at once, one to three iterations of the event loop later, and as it
    ends; each time the task is cancelled once, twice and three times, up to three iterations
    apart. After each run it awaits `check`, which should raise if something was left behind. If
    the operation ended before it could be cancelled, it awaits `undo` with the result first.
    `every` is for slow operations: only every `every`-th combination is tried.

    Raises `AssertionError` if `check` raises, a cancellation is swallowed, or the operation hangs;
    from Python 3.11 on also if the cancellation is raised with another message than that of the
    first one that reached the task, or `Task.cancelling()` was changed. Other exceptions of the
    operation are raised unchanged.
    """
    if every < 1:
        raise ValueError(f"every should be 1 or more, not {every}")
    cancelled = ways = 0
    for step in count():
        tried = reached = False
        for plan in _plans():
            ways += 1
            if ways % every:
                continue
            tried = True
            run = _Run(operation(), step, plan)
            reached |= await run.to_its_end()
            if run.error is None and undo is not None:
                await undo(run.result)
            cancelled += run.error is not None
            try:
                await check()
            except Exception as error:
                raise AssertionError(f"{run} left something behind: {error!r}") from error
        if tried and not reached:
            return cancelled
    raise AssertionError("unreachable")


_Plan = tuple[int | None, tuple[int, ...]]


def _plans() -> Iterator[_Plan]:
    """Yield when an await is cancelled, and the iterations before each later cancellation."""
    twice = [(turns,) for turns in _BETWEEN]
    yield from product(_FIRST, [(), *twice, *product(_BETWEEN, (0, 2))])


class _Run(Generic[T]):
    """One run of an operation whose task is cancelled at one of its awaits."""

    result: T

    def __init__(self, work: Coroutine[Any, Any, T], step: int, plan: _Plan) -> None:
        self._work = work
        self._step = step
        self._first, self._between = plan
        self._loop = asyncio.get_running_loop()
        self._suspended = 0
        self._asked = 0
        self._reached: asyncio.CancelledError | None = None
        self.error: asyncio.CancelledError | None = None
        self._task = asyncio.create_task(self._body())

    def __repr__(self) -> str:
        when = "as it ended" if self._first is None else f"{self._first} turns later"
        again = "".join(f", again {turns} turns later" for turns in self._between)
        return f"the operation cancelled at its await {self._step}, {when}{again},"

    async def to_its_end(self) -> bool:
        """Wait for the end; return whether the await to cancel was reached."""
        await asyncio.wait([self._task], timeout=_HANG)
        assert self._task.done(), f"{self} hangs: {self._task!r}"
        if not self._task.cancelled():
            self.result = self._task.result()
        assert (self.error is None) == (self._asked == 0), f"{self} swallowed that"
        if self.error is not None and sys.version_info >= (3, 11):
            # The CancelledError that gRPC raises in a cancelled task is that of its own call,
            # without the task's message; the operation must restore it. (Python 3.10 itself loses
            # messages from one task to another.)
            reached = () if self._reached is None else self._reached.args
            got, sent = self.error.args, reached or (_MESSAGE,)
            assert got == sent, f"{self} raised CancelledError{got}, not CancelledError{sent}"
        return self._suspended > self._step

    async def _body(self) -> T:
        # An eager task runs before it is known here.
        await asyncio.sleep(0)
        try:
            return await _Watched(self._work, self)
        except asyncio.CancelledError as error:
            self.error = error
            if sys.version_info >= (3, 11):
                assert self._task.cancelling() == self._asked, f"{self} changed Task.cancelling()"
            raise

    def suspended(self, awaited: Any) -> None:
        if self._suspended == self._step:
            if self._first is not None:
                self._after(self._first, self._cancel)
            elif isinstance(awaited, asyncio.Future):
                # Runs before the task's own callback, which wakes it.
                awaited.add_done_callback(lambda _: self._cancel())
            else:
                self._after(1, self._cancel)
        self._suspended += 1

    def reached(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError) and self._reached is None and self._asked:
            self._reached = error

    def _after(self, turns: int, what: Callable[[], None]) -> None:
        if turns:
            self._loop.call_soon(self._after, turns - 1, what)
        else:
            what()

    def _cancel(self) -> None:
        if self._task.cancel(f"{_LATER} {self._asked}" if self._asked else _MESSAGE):
            self._asked += 1
            if self._asked <= len(self._between):
                self._after(self._between[self._asked - 1], self._cancel)


class _Watched(Awaitable[T]):
    """Awaits a coroutine; reports its awaits, and exceptions thrown into it, to a run."""

    def __init__(self, work: Coroutine[Any, Any, T], run: _Run[T]) -> None:
        self._work = work
        self._run = run

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._work.__await__()
        thrown: BaseException | None = None
        while True:
            try:
                awaited = next(inner) if thrown is None else inner.throw(thrown)
            except StopIteration as end:
                result: T = end.value
                return result
            self._run.suspended(awaited)
            thrown = None
            try:
                yield awaited
            except BaseException as error:
                self._run.reached(error)
                thrown = error
