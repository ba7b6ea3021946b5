"""A proclamation whose answer comes when the session is a candidate again."""

from __future__ import annotations

import asyncio

import pytest
from lock_late_support import LateTransactions
from lock_support import Program

from etcd_lock import Election, NotLeaderOfElectionError, Session

HANG = 60


async def test_a_proclamation_that_fails_late_leaves_the_next_candidacy(
    program: Program, key_prefix: bytes
) -> None:
    view = LateTransactions(program.channel)
    async with Session(view, 60) as session:
        election = Election(session, key_prefix)
        assert await election.campaign(b"one")
        go_on = view.hold_up()
        late = asyncio.create_task(election.proclaim(b"late"))
        await asyncio.wait_for(view.held_up.wait(), HANG)
        assert await election.resign() is True
        assert await election.campaign(b"two")
        go_on.set()
        with pytest.raises(NotLeaderOfElectionError):
            await late
        assert election.fencing_token is not None
        await election.proclaim(b"three")
        assert await election.resign() is True
