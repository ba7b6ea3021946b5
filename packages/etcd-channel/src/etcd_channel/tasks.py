"""Helpers for work that must be finished even if its task is cancelled, also repeatedly.

For service packages and for code that is built on them.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from etcd_channel.errors import ClientError, LeaseNotFoundError

__all__ = ["expected", "finish", "log_errors"]

T = TypeVar("T")

_log = logging.getLogger("etcd_channel")


async def finish(
    work: Coroutine[Any, Any, T] | asyncio.Future[T], after: BaseException | None = None
) -> T:
    """Await `work` to its end, even if the task is cancelled repeatedly, and return its result.

    `work` must end by itself, because cancellation does not end it: each of its calls needs a
    deadline. A coroutine is run in a separate task. `after` is the exception that the caller is
    handling while it cleans up; None if there is none.

    Raises what `work` raises. If the task was cancelled in the meantime, the cancellation is
    raised instead after `work` has ended, and an error of `work` is logged. The cancellation is
    `after` if that is a `CancelledError`, else the first one that reached the task. An error of
    `work` does not replace a cancellation in `after` either: it is logged.

    `Task.cancelling()` is not changed. `asyncio.timeout`, `TaskGroup` and anyio need both to
    recognize their own cancellations.
    """
    running = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:  # noqa: PERF203  # there may be several
            # anyio cancels the task again in each iteration of the loop until its scope ends.
            cancellation = cancellation or error
    failure = None if running.cancelled() else running.exception()
    if isinstance(after, asyncio.CancelledError) and (
        cancellation is not None or failure is not None or running.cancelled()
    ):
        cancellation = after
    try:
        if cancellation is None:
            return running.result()
        if failure is not None:
            _log.warning("clean-up in a cancelled task failed: %s", repr(failure))
        raise cancellation
    finally:
        # The error's traceback refers to this frame: break the reference cycle.
        del after, cancellation, failure, running


async def log_errors(
    work: Awaitable[object], complaint: str = "could not clean up", *, log: logging.Logger = _log
) -> None:
    """Await work that cleans up, and log a `ClientError` instead of raising it.

    The log message begins with `complaint`. A `LeaseNotFoundError` is ignored, because etcd
    deletes the keys of a lease that does not exist any more.
    """
    try:
        await work
    except LeaseNotFoundError:
        pass
    except ClientError as error:
        log.warning("%s: %s", complaint, str(error))


def expected(error: BaseException) -> None:
    """Prevent asyncio from reporting `error` if the current task ends with it unawaited.

    For an error that the program itself caused, such as that of a watch whose client was closed.
    asyncio reports every other error of the task as usual.
    """
    task = asyncio.current_task()
    if task is None:
        return
    own = weakref.ref(error)

    def retrieve(task: asyncio.Task[object]) -> None:
        # Not `task.exception()` in the condition: the call itself suppresses the report.
        if not task.cancelled() and getattr(task, "_exception", None) is own():
            task.exception()

    task.add_done_callback(retrieve)
