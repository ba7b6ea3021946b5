"""Groups: who is there, with data of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

import pytest
from recipes_support import PATIENCE, Program, waiting

from etcd_channel import PreconditionFailedError
from etcd_lock import LockLostError
from etcd_testing import FaultProxy, cancel_everywhere


async def test_members_are_seen_with_their_data_until_they_leave(
    program: Program, other: Program
) -> None:
    group = program.recipes.group(b"g")
    assert await group.members() == {}
    async with program.locks.session(600) as one, other.locks.session(600) as two:
        first = group.member(one, b"10.0.0.1", member=b"a")
        async with first, group.member(two, b"10.0.0.2") as second:
            assert await other.recipes.group(b"g").members() == {
                b"a": b"10.0.0.1",
                b"%x" % two.lease.id: b"10.0.0.2",
            }
            assert second.name == b"%x" % two.lease.id
            assert await first.update(b"10.0.0.3")
            assert (await group.members())[first.name] == b"10.0.0.3"
            assert first.data == b"10.0.0.3"
        assert await group.members() == {}
        assert not await first.leave()
    await program.nothing_is_left()


async def test_changes_are_followed_from_what_is_there(program: Program, other: Program) -> None:
    async with program.locks.session(600) as session:
        group, seen = program.recipes.group(b"g"), asyncio.Queue[Mapping[bytes, bytes]]()

        async def follow() -> None:
            async with aclosing(other.recipes.group(b"g").changes()) as changes:
                async for members in changes:
                    seen.put_nowait(members)

        async def next_one() -> Mapping[bytes, bytes]:
            return await asyncio.wait_for(seen.get(), PATIENCE)

        async with group.member(session, b"1", member=b"a"):
            task = asyncio.create_task(follow())
            assert await next_one() == {b"a": b"1"}
            await program.until_watchers(1)
            async with group.member(session, b"2", member=b"b") as member:
                assert await next_one() == {b"a": b"1", b"b": b"2"}
                await member.update(b"3")
                assert await next_one() == {b"a": b"1", b"b": b"3"}
            assert await next_one() == {b"a": b"1"}
        assert await next_one() == {}
        task.cancel()
        await asyncio.wait([task])
    await program.nothing_is_left()


async def test_a_name_is_for_one_session_at_a_time(program: Program) -> None:
    group = program.recipes.group(b"g")
    async with program.locks.session(600) as one, program.locks.session(600) as two:
        async with group.member(one, member=b"a"):
            with pytest.raises(PreconditionFailedError, match="not with the session's lease"):
                await group.member(two, member=b"a").join()
        async with group.member(two, member=b"a"):
            assert len(await group.members()) == 1


async def test_a_wait_for_a_size_ends_when_it_is_reached(program: Program, other: Program) -> None:
    group = program.recipes.group(b"g")
    assert not await group.wait(1, timeout=0)
    assert not await group.wait(1, timeout=0.05)
    assert await group.wait(0)
    async with other.locks.session(600) as session, waiting(group.wait(2)) as wait:
        await program.until_watchers(1)
        async with group.member(session, member=b"a"), group.member(session, member=b"b"):
            assert await asyncio.wait_for(asyncio.shield(wait), PATIENCE)
            assert await group.wait(2, timeout=0)


async def test_a_member_ends_with_its_session_and_is_told(program: Program) -> None:
    group = program.recipes.group(b"g")
    session = await program.locks.session(600)
    member = group.member(session, b"data")
    await member.join()
    lost = asyncio.create_task(member.lost)
    await program.server.etcdctl("lease", "revoke", f"{session.lease.id:016x}")
    assert isinstance(await asyncio.wait_for(lost, PATIENCE), LockLostError)
    assert await group.members() == {}
    assert not await member.update(b"other")


async def test_changes_go_on_after_a_break_and_a_compaction(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    group = program.recipes.group(b"g")
    async with program.locks.session(600) as session:
        async with waiting(faulty.recipes.group(b"g").wait(2)):
            await program.until_watchers(1)
            proxy.refuse()
            proxy.cut()
            await group.member(session, member=b"a").join()
            await group.member(session, member=b"b").join()
            written = await program.kv.put(b"other", b"")
            await program.kv.compact(written.header.revision)
            proxy.heal()


async def test_a_cancelled_membership_leaves_nothing(program: Program) -> None:
    async with program.locks.session(600) as session:
        group = program.recipes.group(b"g")

        async def join_and_leave() -> None:
            async with group.member(session, b"data"):
                await asyncio.sleep(0)

        async def empty() -> None:
            assert await program.keys() == []

        assert await cancel_everywhere(join_and_leave, empty)
