"""Partitioners: a set is divided among the members of a group, and no part is owned twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from recipes_support import PATIENCE, PATIENT, Program, broken_connections, until

from etcd_channel import Channel, ClientClosedError
from etcd_recipes import Part, Partitioner
from etcd_recipes._shares import shares
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere

PARTS = [b"%02d" % number for number in range(12)]


class Members:
    """Members that work until they are stopped; fails if two work on a part at the same time."""

    def __init__(self) -> None:
        self.working: dict[bytes, Partitioner] = {}
        self.all: dict[Partitioner, asyncio.Task[None]] = {}
        self.tokens: dict[bytes, int] = {}
        self.twice: list[bytes] = []

    def start(self, program: Program, ttl: int = 60) -> Partitioner:
        partitioner = program.recipes.partitioner(b"shards", PARTS, ttl=ttl)

        async def work(part: Part) -> None:
            if part.name in self.working or part.fencing_token <= self.tokens.get(part.name, 0):
                self.twice.append(part.name)
            self.tokens[part.name] = part.fencing_token
            self.working[part.name] = partitioner
            try:
                await asyncio.sleep(PATIENCE * 10)
            finally:
                await asyncio.sleep(0)
                if self.working.get(part.name) is partitioner:
                    del self.working[part.name]

        self.all[partitioner] = asyncio.create_task(partitioner.run(work))
        return partitioner

    async def stop(self, partitioner: Partitioner) -> None:
        task = self.all.pop(partitioner)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert partitioner.owned == frozenset()

    async def until_all_are_owned(self) -> None:
        """Wait until each part is worked on, and the shares are even."""

        def even() -> bool:
            sizes = [len(member.owned) for member in self.all]
            return sum(sizes) == len(PARTS) == len(self.working) and max(sizes) - min(sizes) <= 1

        await eventually(even)
        for task in self.all.values():
            assert not task.done()
        assert self.twice == []


async def eventually(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until(holds)


async def test_parts_are_divided_and_divided_again_when_members_come_and_go(
    program: Program, other: Program
) -> None:
    members = Members()
    first = members.start(program)
    await members.until_all_are_owned()
    assert first.owned == frozenset(PARTS)
    second, third = members.start(other), members.start(other)
    await members.until_all_are_owned()
    assert {len(each.owned) for each in (first, second, third)} == {4}
    await members.stop(first)
    await members.until_all_are_owned()
    await members.stop(second)
    await members.until_all_are_owned()
    await members.stop(third)
    assert members.working == {}
    await program.nothing_is_left()


async def test_the_parts_of_a_member_that_loses_its_session_are_divided_and_it_comes_back(
    program: Program, other: Program
) -> None:
    members = Members()
    members.start(program)
    members.start(other)
    await members.until_all_are_owned()
    owner = (await program.kv.get_prefix(b"shards/members/"))[0]
    await program.server.etcdctl("lease", "revoke", f"{owner.lease:016x}")

    async def another_session() -> bool:
        now = await program.kv.get_prefix(b"shards/members/", keys_only=True)
        return len(now) == 2 and owner.key not in [member.key for member in now]

    await until(another_session)
    # The lost member's work may have overlapped: the lease was ended without its knowledge.
    members.twice.clear()
    await members.until_all_are_owned()
    for member in list(members.all):
        await members.stop(member)
    await program.nothing_is_left()


async def test_a_part_is_given_away_only_when_the_work_on_it_has_ended(
    program: Program, other: Program
) -> None:
    may_end, asked = asyncio.Event(), asyncio.Event()

    async def slow(part: Part) -> None:
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            asked.set()
            await may_end.wait()

    async def ignore(part: Part) -> None:
        pass

    first = program.recipes.partitioner(b"shards", [b"a", b"b"], ttl=60)
    second = other.recipes.partitioner(b"shards", [b"a", b"b"], ttl=60)
    tasks = [asyncio.create_task(first.run(slow))]
    await eventually(lambda: len(first.owned) == 2)
    tasks.append(asyncio.create_task(second.run(ignore)))
    await asyncio.wait_for(asked.wait(), PATIENCE)
    for _ in range(20):
        await program.kv.get(b"any")
    assert (len(first.owned), len(second.owned)) == (2, 0)
    may_end.set()
    await eventually(lambda: (len(first.owned), len(second.owned)) == (1, 1))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await program.nothing_is_left()


async def test_an_owner_can_guard_its_changes(program: Program) -> None:
    parts: list[Part] = []

    async def work(part: Part) -> None:
        parts.append(part)

    partitioner = program.recipes.partitioner(b"shards", [b"a"], ttl=60)
    task = asyncio.create_task(partitioner.run(work))
    await eventually(lambda: bool(parts))
    txn = program.kv.transactions
    own, change = [parts[0].ownership()], [txn.put(b"result", b"")]
    assert (await program.kv.transaction(own, change)).succeeded
    assert partitioner.owned == {b"a"}
    assert not parts[0].is_lost
    with pytest.raises(ValueError, match="is running already"):
        await partitioner.run(work)
    task.cancel()
    await asyncio.wait([task])
    assert parts[0].is_lost
    assert not (await program.kv.transaction(own, change)).succeeded


async def test_an_error_of_the_work_ends_the_membership(program: Program) -> None:
    async def work(part: Part) -> None:
        if part.name == b"03":
            raise ZeroDivisionError
        await asyncio.sleep(PATIENCE * 10)

    partitioner = program.recipes.partitioner(b"shards", PARTS, ttl=60)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(partitioner.run(work), PATIENCE)
    assert partitioner.owned == frozenset()
    await program.nothing_is_left()


async def test_a_closed_client_ends_it(server: EtcdServer) -> None:
    async def work(part: Part) -> None:
        await asyncio.sleep(PATIENCE * 10)

    async with Channel(server.endpoint, **PATIENT) as channel:
        partitioner = Partitioner(channel, b"shards", PARTS)
        task = asyncio.create_task(partitioner.run(work))
        await eventually(lambda: len(partitioner.owned) == len(PARTS))
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(task, PATIENCE)


async def test_no_part_is_owned_twice_while_members_come_and_go_and_connections_break(
    program: Program, faulty: Program, proxy: FaultProxy
) -> None:
    members, random_ = Members(), random.Random(7)
    async with broken_connections(proxy, 0.3):
        for _ in range(25):
            if len(members.all) < 2 or (len(members.all) < 5 and random_.random() < 0.5):
                members.start(random_.choice([program, faulty]))
            else:
                await members.stop(random_.choice(list(members.all)))
            await asyncio.sleep(random_.uniform(0, 0.2))
            assert members.twice == []
    await members.until_all_are_owned()
    owners = await program.kv.get_prefix(b"shards/parts/")
    assert len(owners) == len(PARTS)
    for member in list(members.all):
        await members.stop(member)
    await program.nothing_is_left()


async def test_cancelling_leaves_nothing(program: Program) -> None:
    async def work(part: Part) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def run() -> None:
        try:
            await program.recipes.partitioner(b"shards", [b"a"], ttl=60).run(work)
        except ZeroDivisionError:
            return

    async def nothing() -> None:
        async def gone() -> bool:
            return not await program.keys()

        await until(gone)

    assert await cancel_everywhere(run, nothing, every=7)
    await program.nothing_is_left()


async def test_a_cancellation_from_elsewhere_ends_the_membership(program: Program) -> None:
    async def work(part: Part) -> None:
        raise asyncio.CancelledError

    run = program.recipes.partitioner(b"shards", [b"a"]).run(work)
    with pytest.raises(RuntimeError, match="was cancelled from elsewhere"):
        await asyncio.wait_for(run, PATIENCE)
    await program.nothing_is_left()


async def test_arguments_that_cannot_be_are_refused(program: Program) -> None:
    with pytest.raises(TypeError, match="parts must be several names, not a single bytes"):
        Partitioner(program.channel, b"shards", b"abc")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="a part must not be empty"):
        Partitioner(program.channel, b"shards", [b""])
    with pytest.raises(TypeError, match="work must be callable, not NoneType"):
        await Partitioner(program.channel, b"shards", []).run(None)  # type: ignore[arg-type]  # on purpose


def test_shares_are_even_and_the_same_for_every_order() -> None:
    random_ = random.Random(3)
    for _ in range(200):
        parts = [b"%d" % number for number in range(random_.randrange(40))]
        members = [b"%x" % random_.getrandbits(63) for _ in range(random_.randrange(1, 9))]
        divided = shares(parts, members)
        sizes = [len(share) for share in divided.values()]
        assert max(sizes) - min(sizes) <= 1
        assert sorted(part for share in divided.values() for part in share) == sorted(parts)
        random_.shuffle(parts)
        random_.shuffle(members)
        assert shares(parts, members) == divided
    assert shares([b"a"], []) == {}


def test_a_member_that_comes_moves_little_more_than_its_share() -> None:
    parts = [b"%d" % number for number in range(100)]
    members = [b"member-%d" % number for number in range(6)]
    before, after = shares(parts, members[:5]), shares(parts, members)
    moved = sum(len(share - before.get(member, set())) for member, share in after.items())
    assert 16 <= moved <= 30
