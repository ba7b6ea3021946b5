"""A documented lock whose lease ends before the answer that says that it was acquired."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lock_support import Program

from etcd_channel import ChannelView
from etcd_kv.rpcs import TXN
from etcd_lock import Lock

TTL = 2


class LateAnswer(ChannelView):
    """A view that delivers the answer to the first transaction when its lease has ended."""

    revision = 0
    """The revision of that answer."""

    async def call(self, rpc: Any, *arguments: Any, **options: Any) -> Any:
        answer = await super().call(rpc, *arguments, **options)
        if rpc.path == TXN.path and not self.revision:
            self.revision = answer.header.revision
            await asyncio.sleep(TTL + 0.05)
        return answer


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("timeout", [0, 60])
async def test_a_lock_whose_lease_has_ended_before_the_answer_was_not_acquired_by_it(
    alone: Program, keep_alive: bool, timeout: float
) -> None:
    view = LateAnswer(alone.channel)
    lock = Lock(view, b"lock", TTL, keep_alive=keep_alive, timeout=timeout)
    assert await lock.acquire()
    assert lock.fencing_token is not None
    assert lock.fencing_token > view.revision
    assert lock.lease is not None
    # The first lease was revoked: etcd, which began to count later, may have had it still.
    assert set(await alone.leases.leases()) <= {lock.lease.id}
    await lock.release()
