"""What is left when a run has ended: leases, keys, watches, tasks, file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

from etcd_client import Client, FailedAttempt
from etcd_client.errors import LeaseNotFoundError
from programme.history import History, Left
from programme.holders import LOCK
from programme.injector import Injector

__all__ = ["descriptors", "leases_left", "note_grant", "ours_left", "watchers_left"]

_SENT_AGAIN = "grants sent again"
_QUIET = 30
"""Seconds to wait: more than the time to live of a holder, less than that of the traffic."""


def note_grant(history: History, failed: FailedAttempt) -> None:
    """Count a grant that is sent again, for `leases_left`."""
    if failed.rpc == "Lease.LeaseGrant" and failed.repeated and not failed.error.definite:
        history.about[_SENT_AGAIN] = history.about.get(_SENT_AGAIN, 0) + 1


async def leases_left(history: History, direct: Client) -> None:
    """Look for leases, and for keys of locks, when their clients are closed.

    The traffic has revoked its leases, which live for longer than this waits. Processes that were
    killed have not, and theirs expire. A lease of which nobody knows whether it was granted may be
    there: it was revoked, but its grant may have come after that. So may the first attempt of a
    grant that was sent again, over a connection that was silent until then.
    """
    unknown = sum(
        each.kind == "grant" and each.outcome == "indefinite" for each in history.operations
    )
    unknown += history.about.get(_SENT_AGAIN, 0)
    leases, keys = await direct.leases(), await direct.get_prefix(LOCK.encode())
    for _ in range(_QUIET * 5):
        if len(leases) <= unknown and not keys:
            break
        await asyncio.sleep(0.2)
        leases, keys = await direct.leases(), await direct.get_prefix(LOCK.encode())
    found = ", ".join([await _lease(direct, lease) for lease in leases])
    history.add(Left("lease", max(0, len(leases) - unknown), f"of {found}"))
    history.add(Left("lock key", len(keys), " ".join(kv.key.decode() for kv in keys)))


async def _lease(direct: Client, lease: int) -> str:
    """A lease that should not be there, for whoever looks for what has granted it."""
    try:
        info = await direct.get_lease_info(lease)
    except LeaseNotFoundError:
        return f"{lease:x} (on one member)"
    return f"{lease:x} ({info.ttl} of {info.granted_ttl} s, with {info.keys})"


async def watchers_left(history: History, rig: Injector) -> None:
    """All watches have ended, but their clients are open: they would create again what they forgot.

    The watch that is the truth is left on each member. Connections that a proxy forgot are closed:
    their members still have the watches of before.
    """
    rig.cut()
    await asyncio.sleep(0.5)
    for member in rig.cluster.members:
        count = -1
        for _ in range(_QUIET * 10):
            count = int((await member.metrics())["etcd_debugging_mvcc_watcher_total"]) - 1
            if not count:
                break
            await asyncio.sleep(0.1)
        history.add(Left("watcher", abs(count), f"on {member.name}"))


async def ours_left(
    history: History, tasks: Iterable[asyncio.Task[Any]], before: Counter[str]
) -> None:
    left: set[asyncio.Task[Any]] = set()
    more = 0
    gc.collect()  # gRPC leaves cycles behind, which keep connections
    for _ in range(_QUIET * 10):
        left = asyncio.all_tasks() - {*tasks}
        more = (descriptors() - before).total()
        if not left and not more:
            break
        await asyncio.sleep(0.1)
    history.add(Left("task", len(left), ", ".join(map(_described, left))))
    named = str(dict(descriptors() - before))
    history.add(Left("file descriptor", more, named))


def _described(task: asyncio.Task[Any]) -> str:
    """A task, and where it was made if asyncio's debug mode knows."""
    made = getattr(task, "_source_traceback", None) or []
    return f"{task!r} {[f'{frame.filename}:{frame.lineno}' for frame in made]}"


def descriptors() -> Counter[str]:
    """What the file descriptors of this process are, without numbers."""
    found: Counter[str] = Counter()
    if os.path.isdir("/proc/self/fd"):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found[os.readlink(f"/proc/self/fd/{name}").partition(":[")[0]] += 1
    return found
