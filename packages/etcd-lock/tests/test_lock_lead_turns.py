"""Tasks that share one election lead in turn."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from lock_late_support import LateTransactions
from lock_support import Program

from etcd_channel import ConnectionTimeoutError
from etcd_lock import Election, LockLostError, LockTimeoutError, Session

HANG = 60


async def test_tasks_that_share_an_election_lead_in_turn(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session, other.locks.session(60) as theirs:
        election, rival = Election(session, key_prefix), Election(theirs, key_prefix)
        tokens: list[int | None] = []

        async def lead(value: bytes) -> None:
            async with election.lead(value):
                tokens.append(election.fencing_token)
                assert await rival.campaign(b"other", timeout=0) is False

        async with election.lead(b"first"):
            with pytest.raises(LockTimeoutError):
                await asyncio.create_task(election.lead(b"second", timeout=0).__aenter__())
            following = [asyncio.create_task(lead(b"%d" % number)) for number in range(3)]
            found = await election.leader()
            assert found is not None
            assert found.value == b"first"
            tokens.append(election.fencing_token)
        await asyncio.wait_for(asyncio.gather(*following), HANG)
        assert len(set(tokens)) == 4
        assert await election.leader() is None


async def test_the_next_task_leads_when_a_body_has_resigned(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        entered, end = asyncio.Event(), asyncio.Event()

        async def lead() -> None:
            async with election.lead(b"next"):
                entered.set()
                await end.wait()
                await election.proclaim(b"still")

        async with election.lead(b"first"):
            following = asyncio.create_task(lead())
            assert await election.resign()
            await asyncio.wait_for(entered.wait(), HANG)
        end.set()
        await asyncio.wait_for(following, HANG)


async def test_the_next_task_leads_when_the_lead_is_lost(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)

        async def lead(value: bytes) -> None:
            async with election.lead(value):
                if value == b"first":
                    await other.kv.delete(election.key)
                    await asyncio.wait_for(asyncio.Event().wait(), HANG)

        first = asyncio.create_task(lead(b"first"))
        second = asyncio.create_task(lead(b"second"))
        with pytest.raises(LockLostError):
            await first
        await asyncio.wait_for(second, HANG)


async def test_a_body_that_campaigns_again_proclaims_and_keeps_the_lead_if_that_fails(
    program: Program, key_prefix: bytes
) -> None:
    view = LateTransactions(program.channel)
    async with Session(view, 60) as session:
        election = Election(session, key_prefix)
        async with election.lead(b"one"):
            token = election.fencing_token
            assert await election.campaign(b"two")
            view.failing = 1
            with pytest.raises(ConnectionTimeoutError):
                await election.campaign(b"three")
            found = await election.leader()
            assert found is not None
            assert (found.value, found.create_revision) == (b"two", token)
        assert await election.leader() is None


async def test_a_body_that_was_told_of_its_loss_may_campaign_until_its_end(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        async with election.lead(b"one", cancel_on_loss=False):
            await other.kv.delete(election.key)
            assert await election.campaign(b"two")
        assert await election.leader() is None


async def test_a_lead_may_be_left_by_another_task(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        for resigned in (True, False, True):
            stack = AsyncExitStack()

            async def enter(stack: AsyncExitStack, resigned: bool) -> None:
                await stack.enter_async_context(election.lead(b"first"))
                if resigned:
                    assert await election.resign()

            await asyncio.create_task(enter(stack, resigned))
            await stack.aclose()
            assert await election.leader() is None
            async with election.lead(b"next", timeout=HANG):
                pass


async def test_a_body_that_resigns_and_campaigns_again_resigns_at_its_end(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        async with election.lead(b"first"):
            assert await election.resign()
            assert await election.campaign(b"again")
        assert await election.leader() is None


async def test_a_task_that_leads_cannot_enter_another_lead(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        async with election.lead(b"first"):
            with pytest.raises(RuntimeError, match="is in a `lead` block"):
                async with election.lead(b"second"):
                    pass
            assert await election.leader() is not None
        assert await election.leader() is None


@pytest.mark.parametrize("resign", [False, True])
async def test_a_body_campaigns_after_a_proclamation_that_was_cancelled(
    program: Program, other: Program, key_prefix: bytes, resign: bool
) -> None:
    late = LateTransactions(program.channel)
    async with Session(late, 60) as session:
        election = Election(session, key_prefix)

        async def lead() -> None:
            async with election.lead(b"first", cancel_on_loss=False):
                await other.kv.delete(election.key)
                go_on = late.hold_up()
                proclaiming = asyncio.create_task(election.proclaim(b"second"))
                await late.held_up.wait()
                proclaiming.cancel()
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await proclaiming
                if resign:
                    assert await election.resign() is False
                assert await asyncio.wait_for(election.campaign(b"third"), HANG)
                found = await election.leader()
                assert found is not None
                assert found.value == b"third"

        with pytest.raises(LockLostError):  # the body was not told of the loss
            await lead()
        assert await election.leader() is None


async def test_a_body_whose_resignation_failed_campaigns_with_another_key(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    late = LateTransactions(program.channel)
    async with Session(late, 60) as session:
        election = Election(session, key_prefix)
        async with election.lead(b"first"):
            before = election.fencing_token
            late.failing = 2  # the resignation, and its first repetition
            with pytest.raises(ConnectionTimeoutError):
                await election.resign()
            assert await asyncio.wait_for(election.campaign(b"second"), HANG)
            assert election.fencing_token != before
            await late.deliver()
            found = await election.leader()
            assert found is not None
            assert found.create_revision == election.fencing_token
        assert await election.leader() is None
