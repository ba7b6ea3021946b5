"""Whether a task was cancelled, or only what it waits for."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["current_task_is_cancelled"]

if sys.version_info >= (3, 11):

    def current_task_is_cancelled() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

else:

    def current_task_is_cancelled() -> bool:
        # Python 3.10 cannot tell. A closed channel ends the task's call either way.
        return False
