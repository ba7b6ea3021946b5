"""Coroutines for callers that have no event loop, or must not touch the one they have."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TypeVar

__all__ = ["run_in_thread"]

T = TypeVar("T")


def run_in_thread(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end on a loop of its own in a thread of its own; block until then.

    Not `asyncio.run` in this thread: that fails under a running loop, and leaves the thread
    without the loop that an asynchronous test plugin may have set for it.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="etcd-testing")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
