"""A mirror makes a copy that is equal to its source, and keeps it so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from cache_support import HANG, Program, connect, kill, until, watchers, within

from etcd_cache import MirrorStep, mirror
from etcd_channel import ClientError, NamespaceView
from etcd_channel.errors import PreconditionFailedError
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere


@pytest.fixture
async def program(etcd_endpoint: str) -> AsyncIterator[Program]:
    async with connect(etcd_endpoint) as program:
        yield program


class Places:
    """A source and a target in one store, and the checkpoint of their mirror."""

    def __init__(self, prefix: bytes) -> None:
        self.source, self.target = prefix + b"source/", prefix + b"target/"
        self.checkpoint = prefix + b"checkpoint"

    def mirror(self, source: Program, target: Program | None = None) -> Any:
        return mirror(
            source.kv,
            self.source,
            (target or source).kv,
            self.target,
            checkpoint=self.checkpoint,
        )


@pytest.fixture
def places(key_prefix: bytes) -> Places:
    return Places(key_prefix)


async def values(program: Program, prefix: bytes) -> dict[bytes, bytes]:
    found = await program.kv.get_prefix(prefix)
    return {kv.key.removeprefix(prefix): kv.value for kv in found}


async def step_to(steps: Any, revision: int) -> list[MirrorStep]:
    """Take steps until the copy has a revision."""
    taken: list[MirrorStep] = []
    while not taken or taken[-1].revision < revision:
        taken.append(await within(anext(steps)))
    return taken


async def test_a_copy_follows_its_source(program: Program, places: Places) -> None:
    kv = program.kv
    await kv.put(places.target + b"old", b"not in the source")
    await kv.put(places.target + b"same", b"1")
    kept = await kv.put(places.source + b"same", b"1")
    last = await kv.put(places.source + b"other", b"2")
    async with aclosing(places.mirror(program)) as steps:
        (listed,) = await step_to(steps, last.header.revision)
        assert (listed.changes, listed.from_list) == (2, True)
        assert await values(program, places.target) == {b"same": b"1", b"other": b"2"}
        same = await kv.get(places.target + b"same")
        assert same is not None
        assert same.mod_revision < kept.header.revision  # it was not written again
        await kv.put(places.source + b"new", b"3")
        deleted = await kv.delete(places.source + b"same")
        assert deleted is not None
        taken = await step_to(steps, deleted.header.revision)
        assert not any(step.from_list for step in taken)
        assert await values(program, places.target) == {b"new": b"3", b"other": b"2"}


async def test_a_transaction_is_copied_as_one(program: Program, places: Places) -> None:
    async with aclosing(places.mirror(program)) as steps:
        await within(anext(steps))
        ops = program.kv.transactions
        puts = [ops.put(places.source + b"%d" % number, b"v") for number in range(50)]
        done = await program.kv.transaction([], puts)
        await step_to(steps, done.revision)
    found = await program.kv.get_prefix(places.target)
    assert len(found) == 50
    assert len({kv.mod_revision for kv in found}) == 1


async def test_a_transaction_that_is_larger_than_a_request_is_copied_by_several(
    program: Program, places: Places
) -> None:
    async with (
        EtcdServer(args=["--max-request-bytes=10485760"]) as server,
        connect(server.endpoint) as source,
        aclosing(places.mirror(source, program)) as steps,
    ):
        await within(anext(steps))
        ops = source.kv.transactions
        keys = [places.source + b"%d" % number for number in range(30)]
        done = await source.kv.transaction([], [ops.put(key, bytes(100_000)) for key in keys])
        taken = await step_to(steps, done.revision)
        assert [step.revision == done.revision for step in taken] == [False, False, True]
        assert sum(step.changes for step in taken) == 30
        found = await values(program, places.target)
        assert found == await values(source, places.source)


async def test_many_keys_are_copied_by_several_transactions(
    program: Program, places: Places
) -> None:
    pairs = [(places.source + b"%04d" % number, bytes(5000)) for number in range(500)]
    await program.kv.put_many(pairs)
    async with aclosing(places.mirror(program)) as steps:
        taken = await step_to(steps, 1)
        assert sum(step.changes for step in taken) == 500
        assert {step.revision for step in taken[:-1]} == {0}
        assert len(await values(program, places.target)) == 500
        gone = await program.kv.delete_prefix(places.source)
        await step_to(steps, gone.header.revision)
        assert await values(program, places.target) == {}


async def test_a_later_call_continues_from_the_checkpoint(program: Program, places: Places) -> None:
    await program.kv.put(places.source + b"a", b"1")
    async with aclosing(places.mirror(program)) as steps:
        await step_to(steps, 1)
    await program.kv.put(places.source + b"b", b"2")
    last = await program.kv.delete(places.source + b"a")
    assert last is not None
    async with aclosing(places.mirror(program)) as steps:
        taken = await step_to(steps, last.header.revision)
    assert not any(step.from_list for step in taken)
    assert await values(program, places.target) == {b"b": b"2"}


async def test_after_a_compaction_all_keys_are_compared(places: Places) -> None:
    async with EtcdServer() as server, connect(server.endpoint) as program:
        kv = program.kv
        await kv.put(places.source + b"gone", b"1")
        await kv.put(places.source + b"kept", b"2")
        async with aclosing(places.mirror(program)) as steps:
            await step_to(steps, 1)
        await kv.delete(places.source + b"gone")
        await kv.put(places.source + b"new", b"3")
        await kv.compact((await kv.put(places.source + b"last", b"4")).header.revision)
        async with aclosing(places.mirror(program)) as steps:
            (step,) = await step_to(steps, 1)
            assert (step.changes, step.from_list) == (3, True)
            expected = {b"kept": b"2", b"new": b"3", b"last": b"4"}
            assert await values(program, places.target) == expected
            again = await kv.put(places.source + b"last", b"5")
            await step_to(steps, again.header.revision)
        assert (await values(program, places.target))[b"last"] == b"5"


@pytest.mark.parametrize("told", [b"%x 9999999", b"1 1", b"%x 1 1", b"nonsense", b"%x -1"])
async def test_a_checkpoint_of_another_history_is_not_used(
    program: Program, places: Places, told: bytes
) -> None:
    put = await program.kv.put(places.source + b"k", b"v")
    if b"%" in told:
        told %= put.header.cluster_id
    await program.kv.put(places.checkpoint, told)
    async with aclosing(places.mirror(program)) as steps:
        taken = await step_to(steps, put.header.revision)
    assert taken[0].from_list
    assert await values(program, places.target) == {b"k": b"v"}


async def test_a_copy_in_another_cluster_is_equal_after_many_cuts(places: Places) -> None:
    async with EtcdServer() as one, EtcdServer() as two:
        async with (
            FaultProxy(one.endpoint) as near,
            FaultProxy(two.endpoint) as far,
            connect(one.endpoint) as direct,
            connect(near.endpoint) as source,
            connect(far.endpoint) as target,
        ):

            async def keep() -> None:
                while True:
                    with contextlib.suppress(ClientError):
                        async for _ in places.mirror(source, target):
                            pass

            keeping = asyncio.create_task(keep())
            for number in range(200):
                key = places.source + b"%d" % (number % 17)
                if number % 5:
                    await direct.kv.put(key, b"%d" % number)
                else:
                    await direct.kv.delete(key)
                if number % 10 == 0:
                    near.cut()
                if number % 10 == 5:
                    far.cut()
                if number == 100:
                    newest = await direct.kv.put(places.source + b"compacted", b"v")
                    await direct.kv.compact(newest.header.revision)
            expected = await values(direct, places.source)

            async def until_equal() -> None:
                async with connect(two.endpoint) as check:
                    while await values(check, places.target) != expected:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            await asyncio.wait_for(until_equal(), HANG)
            keeping.cancel()
            await asyncio.wait([keeping])


async def test_a_mirror_that_is_cancelled_anywhere_leaves_no_watch_and_can_be_continued(
    own_server: EtcdServer, places: Places
) -> None:
    async with connect(own_server.endpoint) as program:
        await program.kv.put(places.source + b"k", b"0")
        number = 0

        async def keep_in_step() -> None:
            put = await program.kv.put(places.source + b"new", b"")
            async with aclosing(places.mirror(program)) as steps:
                async for step in steps:
                    if step.revision >= put.header.revision:
                        break

        async def goes_on() -> None:
            nonlocal number
            await until(lambda: watchers(own_server), lambda count: count == 0)
            number += 1
            put = await program.kv.put(places.source + b"k", b"%d" % number)
            async with aclosing(places.mirror(program)) as steps:
                await step_to(steps, put.header.revision)
            copy = await values(program, places.target)
            assert copy == await values(program, places.source)

        assert await cancel_everywhere(keep_in_step, goes_on, every=19)


@pytest.mark.parametrize("killed", ["the source", "the target"])
async def test_a_copy_in_another_cluster_is_equal_after_a_server_was_killed(
    places: Places, killed: str
) -> None:
    async with EtcdServer() as one, EtcdServer() as two:
        patient: dict[str, Any] = {"connect_timeout": HANG, "timeout": HANG}
        async with (
            connect(one.endpoint, **patient) as here,
            connect(two.endpoint, **patient) as there,
        ):
            put = await here.kv.put(places.source + b"1", b"before")
            async with aclosing(places.mirror(here, there)) as steps:
                await step_to(steps, put.header.revision)
                server = one if killed == "the source" else two
                await kill(server)
                await server.start()
                put = await here.kv.put(places.source + b"2", b"after")
                await step_to(steps, put.header.revision)
            expected = {b"1": b"before", b"2": b"after"}
            assert await values(there, places.target) == expected


async def test_a_second_mirror_with_the_same_checkpoint_ends_the_first(
    program: Program, places: Places
) -> None:
    async with aclosing(places.mirror(program)) as first, aclosing(places.mirror(program)) as other:
        await within(anext(first))
        put = await program.kv.put(places.source + b"k", b"v")
        await step_to(other, put.header.revision)
        with pytest.raises(PreconditionFailedError, match="was changed by another mirror"):
            await step_to(first, put.header.revision)
    assert await values(program, places.target) == {b"k": b"v"}


@pytest.mark.parametrize(
    ("source", "target", "checkpoint", "message"),
    [
        (b"a/", b"b/", b"b/c", "checkpoint must not begin with target_prefix"),
        (b"a/", b"a/b/", b"c", "must be outside of source_prefix"),
        (b"a/b/", b"a/", b"c", "must be outside of source_prefix"),
        (b"a/", b"b/", b"a/c", "must be outside of source_prefix"),
        (b"a/", b"b/", b"", "checkpoint must not be empty"),
    ],
)
async def test_prefixes_that_overlap_are_refused(
    program: Program, source: bytes, target: bytes, checkpoint: bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mirror(program.kv, source, program.kv, target, checkpoint=checkpoint)


async def test_prefixes_that_overlap_in_namespaces_are_refused(program: Program) -> None:
    inside = NamespaceView.of(program.channel, b"a/")
    with pytest.raises(ValueError, match="must be outside of source_prefix"):
        mirror(program.channel, b"a/", inside, b"copy/", checkpoint=b"c")
    with pytest.raises(ValueError, match="must be outside of source_prefix"):
        mirror(inside, b"b/", program.channel, b"a/b/", checkpoint=b"c")
    await mirror(inside, b"copy/", program.channel, b"copy/", checkpoint=b"c").aclose()
