"""Deletions that are retried: what a new entry of the same key, and a loss, make of them."""

from __future__ import annotations

import asyncio

from lock_support import Program

from etcd_lock._pending_deletions import PendingDeletions

HANG = 60


async def test_a_deletion_that_ends_after_the_loss_of_the_lease_raises_nothing(
    program: Program,
) -> None:
    lease = await program.leases.lease(60)
    pending = PendingDeletions(program.channel)
    begun, end = asyncio.Event(), asyncio.Event()

    async def delete() -> bool:
        begun.set()
        await end.wait()
        return False

    pending.add(b"key", delete, lease, in_doubt=True)
    now = asyncio.create_task(pending.delete_now(b"key"))
    await asyncio.wait_for(begun.wait(), HANG)
    await lease.revoke()
    while pending._running:  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.01)
    end.set()
    await asyncio.wait_for(now, HANG)
