"""Runs coroutines for callers without an event loop, or that must not use theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TypeVar

__all__ = ["run_in_thread"]

T = TypeVar("T")


def run_in_thread(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine on a new event loop in a new thread; block until its end.

    `asyncio.run` in this thread fails under a running loop, and removes the loop that an
    asynchronous test plugin may have set for the thread.
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
