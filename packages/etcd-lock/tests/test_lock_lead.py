"""Leading in a block, and observing an election without a session."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from lock_support import Program, until_queued

from etcd_lock import Election, LockLostError, LockTimeoutError
from etcd_testing import EtcdServer, cancel_everywhere

HANG = 30


async def test_a_body_runs_while_its_session_leads_and_resigns_at_the_end(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        first, second = Election(a, key_prefix), Election(b, key_prefix)
        async with first.lead(b"one") as leader:
            assert leader is first
            assert first.fencing_token is not None
            await first.proclaim(b"uno")
            found = await program.locks.election_leader(key_prefix)
            assert found is not None
            assert found.value == b"uno"
            for timeout in (0, 0.05):
                with pytest.raises(LockTimeoutError, match="could not win the election"):
                    async with second.lead(b"two", timeout=timeout):
                        raise AssertionError("the body ran")

            async def follow() -> None:
                async with second.lead(b"two"):
                    assert first.fencing_token is None

            following = asyncio.create_task(follow())
            await until_queued(program, key_prefix + b"/", 2)
        await asyncio.wait_for(following, HANG)
        assert await program.locks.election_leader(key_prefix) is None


async def test_a_body_is_cancelled_when_the_lead_is_lost_and_another_follows(
    program: Program, etcd_server: EtcdServer, key_prefix: bytes
) -> None:
    cancelled = False
    async with program.locks.session(60) as b:
        second = Election(b, key_prefix)
        session = await program.locks.session(60)
        first = Election(session, key_prefix)

        async def body() -> None:
            nonlocal cancelled
            async with first.lead(b"one"):
                following = asyncio.create_task(second.campaign(b"two"))
                await until_queued(program, key_prefix + b"/", 2)
                try:
                    await etcd_server.etcdctl("lease", "revoke", f"{session.lease.id:x}")
                    assert await asyncio.wait_for(following, HANG)
                    await asyncio.wait_for(asyncio.Event().wait(), HANG)
                except asyncio.CancelledError:
                    cancelled = True
                    assert await second.campaign(b"two")
                    raise

        with pytest.raises(LockLostError, match="the candidacy for"):
            await body()
        assert cancelled
        found = await program.locks.election_leader(key_prefix)
        assert found is not None
        assert found.key == second.key


async def test_a_body_that_resigns_itself_is_not_cancelled(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        async with election.lead(b"one"):
            assert await election.resign() is True
            for _ in range(20):
                await asyncio.sleep(0)
        async with election.lead(b"one"):
            pass


async def test_arguments_of_a_lead_are_checked_before_anything_is_sent(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        with pytest.raises(TypeError, match="value must be bytes"):
            election.lead("text")  # type: ignore[arg-type]  # on purpose
        with pytest.raises(TypeError, match="cancel_on_loss must be a bool"):
            election.lead(b"", cancel_on_loss="yes")  # type: ignore[arg-type]  # on purpose


async def test_a_cancelled_lead_leaves_nothing(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)

        async def work() -> None:
            async with election.lead(b"one"):
                await asyncio.sleep(0)

        async def nothing_is_left() -> None:
            assert not await program.kv.get_prefix(key_prefix)

        assert await cancel_everywhere(work, nothing_is_left)


# Without a session ----------------------------------------------------------------------


async def test_an_election_is_observed_without_a_session(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    values: asyncio.Queue[bytes] = asyncio.Queue()
    leases = await other.leases.leases()

    async def observe() -> None:
        async for leader in other.locks.observe_election(key_prefix):
            values.put_nowait(leader.value)

    async def next_value() -> bytes:
        return await asyncio.wait_for(values.get(), HANG)

    assert await other.locks.election_leader(key_prefix) is None
    observing = asyncio.create_task(observe())
    async with program.locks.session(60) as session:
        async with Election(session, key_prefix).lead(b"one") as election:
            assert await next_value() == b"one"
            await election.proclaim(b"uno")
            assert await next_value() == b"uno"
        async with election.lead(b"again"):
            assert await next_value() == b"again"
        assert set(await other.leases.leases()) - set(leases) <= {session.lease.id}
    observing.cancel()
    await asyncio.wait([observing])


async def test_an_observation_that_is_closed_ends(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session, Election(session, key_prefix).lead(b"one"):
        async with contextlib.aclosing(program.locks.observe_election(key_prefix)) as leaders:
            assert (await asyncio.wait_for(leaders.__anext__(), HANG)).value == b"one"


async def test_an_election_without_a_name_is_refused(program: Program) -> None:
    with pytest.raises(ValueError, match="name must not be empty"):
        program.locks.observe_election(b"")
    with pytest.raises(ValueError, match="name must not be empty"):
        await program.locks.election_leader(b"")
