"""Who calls: a task, or a thread for which a task executes the call."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

__all__ = ["calling_thread", "current_owner"]

calling_thread: ContextVar[object | None] = ContextVar("etcd_calling_thread", default=None)
"""An object for the thread whose call the current task executes; None if it is of no thread.

A synchronous client sets it, whose calls each have a task of their own: what a thread has acquired
or entered belongs to the thread. It can be referred to weakly.
"""


def current_owner() -> object | None:
    """Return the object for the calling thread, else the current task; None outside of both."""
    thread = calling_thread.get()
    if thread is not None:
        return thread
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no event loop runs
