"""Elections: candidates, proclamations and observers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from lock_support import Program

from etcd_lock import Election, NotLeaderOfElectionError


async def test_the_first_candidate_leads_and_the_next_follows(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as a, program.locks.session(60) as b:
        first, second = Election(a, key_prefix), Election(b, key_prefix)
        assert await first.leader() is None
        assert await first.campaign(b"one") is True
        assert await second.campaign(b"two", timeout=0.2) is False
        leader = await second.leader()
        assert leader is not None
        assert (leader.key, leader.value) == (first.key, b"one")
        waiting = asyncio.create_task(second.campaign(b"two"))
        assert await first.resign() is True
        assert await asyncio.wait_for(waiting, 60) is True
        leader = await first.leader()
        assert leader is not None
        assert leader.value == b"two"
        assert second.fencing_token == leader.create_revision


async def test_a_leader_proclaims_and_no_other_candidate_can(
    program: Program, key_prefix: bytes
) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        with pytest.raises(NotLeaderOfElectionError):
            await election.proclaim(b"too early")
        await election.campaign(b"one")
        await election.proclaim(b"two")
        leader = await election.leader()
        assert leader is not None
        assert leader.value == b"two"
        await program.kv.delete(election.key)
        with pytest.raises(NotLeaderOfElectionError):
            await election.proclaim(b"too late")
        assert await election.resign() is False


async def test_a_leader_that_campaigns_again_proclaims(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        await election.campaign(b"one")
        token = election.fencing_token
        assert await election.campaign(b"two") is True
        leader = await election.leader()
        assert leader is not None
        assert leader.value == b"two"
        assert election.fencing_token == token


async def test_an_observer_gets_the_leader_each_proclamation_and_each_new_leader(
    program: Program, other: Program, key_prefix: bytes
) -> None:
    values: asyncio.Queue[bytes] = asyncio.Queue()

    async def observe() -> None:
        async with program.locks.session(60) as session:
            async for kv in Election(session, key_prefix).observe():
                values.put_nowait(kv.value)

    async def next_value() -> bytes:
        return await asyncio.wait_for(values.get(), 60)

    observer = asyncio.create_task(observe())
    async with other.locks.session(60) as a, other.locks.session(60) as b:
        first, second = Election(a, key_prefix), Election(b, key_prefix)
        await first.campaign(b"one")
        assert await next_value() == b"one"
        await first.proclaim(b"uno")
        assert await next_value() == b"uno"
        waiting = asyncio.create_task(second.campaign(b"two"))
        while (await other.kv.get_prefix(key_prefix, count_only=True)).count < 2:
            pass  # each iteration calls the server
        await first.resign()
        assert await next_value() == b"two"
        await waiting
    observer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await observer


async def test_a_late_observer_gets_the_leader_at_once(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        election = Election(session, key_prefix)
        await election.campaign(b"one")
        async with contextlib.aclosing(election.observe()) as observed:
            assert (await asyncio.wait_for(observed.__anext__(), 60)).value == b"one"


async def test_a_candidacy_ends_with_its_session(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as b:
        follower = Election(b, key_prefix)
        async with program.locks.session(60) as a:
            await Election(a, key_prefix).campaign(b"one")
            waiting = asyncio.create_task(follower.campaign(b"two"))
            while (await program.kv.get_prefix(key_prefix, count_only=True)).count < 2:
                pass  # each iteration calls the server
        assert await asyncio.wait_for(waiting, 60) is True


async def test_a_value_that_is_not_bytes_is_refused(program: Program, key_prefix: bytes) -> None:
    async with program.locks.session(60) as session:
        with pytest.raises(TypeError, match="value must be bytes"):
            await Election(session, key_prefix).campaign("text")  # type: ignore[arg-type]  # on purpose
