"""Who calls: a task, or a thread for which a task executes the call."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

__all__ = ["calling_thread", "current_owner"]

calling_thread: ContextVar[threading.Thread | None] = ContextVar(
    "etcd_calling_thread", default=None
)
"""The thread whose call the current task executes.

A synchronous client sets it, whose calls each have a task of their own: what a thread has acquired
or entered belongs to the thread.
"""


def current_owner() -> threading.Thread | asyncio.Task[Any] | None:
    """Return the thread whose call is executed, else the current task; None outside of both."""
    thread = calling_thread.get()
    if thread is not None:
        return thread
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no event loop runs
