"""The turns of tasks that share a session, and with it a key in a queue."""

from __future__ import annotations

import asyncio

from etcd_channel.deadline import Deadline
from etcd_lease.loss import loss_notices
from etcd_lock._local_lock import LocalLock
from etcd_lock._waiting import until_one_is_done
from etcd_lock.queue_entry import QueueEntry

__all__ = ["acquire_local"]


async def acquire_local(local: LocalLock, entry: QueueEntry, deadline: Deadline) -> bool:
    """Wait for other tasks that share the session; return False if the time is over.

    Raises `LockLostError` if the session ends meanwhile.
    """
    if local.acquire_nowait():
        return True
    lost = asyncio.create_task(entry.session.lease.until_lost())
    acquiring = asyncio.create_task(local.acquire(deadline.remaining()))
    try:
        await until_one_is_done(lost, acquiring, timeout=None)
    except asyncio.CancelledError:
        if not acquiring.cancelled() and acquiring.result():
            local.release()
        raise
    if acquiring.cancelled():
        loss_notices(entry.session.lease).add()
        raise entry._lost_with_session()
    return acquiring.result()
