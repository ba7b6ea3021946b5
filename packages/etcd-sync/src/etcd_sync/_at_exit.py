"""Ends the threads of all portals when the interpreter exits, and disowns them after a fork."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Final

from etcd_sync._interruption import wait_to_the_end
from etcd_sync._loop_thread import CLOSING_TIME, LoopThread, open_threads

__all__ = ["exiting", "stop_here_at_exit"]

_inherited: Final[list[LoopThread]] = []
"""The threads of the parent: deleting an event loop would unregister its sockets there as well."""

_standing_still: Final[list[Callable[[], object]]] = []

_exiting = False


def exiting() -> bool:
    """Whether the interpreter exits."""
    return _exiting


def stop_here_at_exit() -> None:
    """Do not return if this is a daemon thread and the interpreter exits.

    Daemon threads end in the middle of what they do. An error that they have no time to handle
    would be written to stderr.
    """
    if _exiting and threading.current_thread().daemon:
        threading.Event().wait()


def _end_all() -> None:
    global _exiting
    _exiting = True
    threads = [thread for thread in tuple(open_threads) if not thread.inherited]
    for thread in threads:
        thread.stop()
    for thread in threads:
        wait_to_the_end(thread.join, CLOSING_TIME)


def _before_fork() -> None:
    """Have no thread inside gRPC at the fork, which would leave locks taken in the child."""
    _standing_still.extend(thread.stand_still() for thread in tuple(open_threads))


def _after_fork_in_parent() -> None:
    while _standing_still:
        _standing_still.pop()()


def _after_fork_in_child() -> None:
    _standing_still.clear()
    for thread in tuple(open_threads):
        thread.inherited = thread.stopped = True
        _inherited.append(thread)


# Before it, the interpreter waits for threads that are no daemons: they can use their clients.
atexit.register(_end_all)
# Ctrl-C at the very beginning of one of them would end it.
atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
