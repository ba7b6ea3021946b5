"""Operations on a cluster cause no errors for its users."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from etcd_client import Client, Member, errors
from etcd_testing import EtcdCluster

T = TypeVar("T")

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

CALM = ["--heartbeat-interval=500", "--election-timeout=5000"]
"""The settings of members that elect no other leader when a busy machine pauses one."""

PATIENT: dict[str, Any] = {"connect_wait_timeout": 60, "keepalive_timeout": 60, "timeout": 60}


class Load:
    """Running writers and readers, with a record of what was acknowledged and what failed."""

    def __init__(self, client: Client, writers: int = 4) -> None:
        self._client = client
        self._writers = writers
        self._tasks: list[asyncio.Task[None]] = []
        self.written: dict[bytes, int] = {}
        self.reads = 0
        self.failures: list[BaseException] = []
        self._stop = False
        self._news = asyncio.Event()

    async def __aenter__(self) -> Load:
        work = [self._write(b"load/%d" % number) for number in range(self._writers)]
        self._tasks = [asyncio.create_task(each) for each in (*work, self._read())]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), HANG)

    async def a_while(self, writes: int = 50) -> None:
        """Return when this many more writes were acknowledged."""
        for _ in range(writes):
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), HANG)

    async def _write(self, key: bytes) -> None:
        number = 0
        while not self._stop:
            number += 1
            try:
                await self._client.put(key, b"%d" % number)
            except errors.ClientError as error:
                self.failures.append(error)
            else:
                self.written[key] = number
                self._news.set()

    async def _read(self) -> None:
        while not self._stop:
            before = dict(self.written)
            try:
                found = await self._client.get_prefix(b"load/")
            except errors.ClientError as error:
                self.failures.append(error)
                continue
            self.reads += 1
            seen = {kv.key: int(kv.value) for kv in found}
            for key, number in before.items():
                if seen.get(key, 0) < number:
                    self.failures.append(AssertionError(f"{key!r} went back from {number}"))

    async def check(self) -> None:
        """Compare the stored values with the acknowledged ones."""
        assert self.failures == []
        assert self.reads
        for key, number in self.written.items():
            found = await self._client.get(key)
            assert found is not None
            assert int(found.value) == number


async def patiently(call: Callable[[], Awaitable[T]], *passing: type[errors.ClientError]) -> T:
    """Call until it is not refused for a passing reason."""

    async def attempts() -> T:
        while True:
            with contextlib.suppress(*passing):
                return await call()
            await asyncio.sleep(0.05)

    return await asyncio.wait_for(attempts(), HANG)


@contextlib.asynccontextmanager
async def a_cluster() -> AsyncIterator[tuple[EtcdCluster, Client]]:
    """Three members with ten megabytes of space to free, and an operator's client."""
    async with (
        EtcdCluster(3, args=CALM) as servers,
        Client(endpoints=servers.endpoints, **PATIENT) as client,
    ):
        for _ in range(10):
            await client.put(b"junk", bytes(1 << 20))
        last = await client.put(b"junk", b"")
        await client.compact(last.header.revision)

        async def free() -> None:
            # Each member compacts at some later time, and frees space with its next write.
            await client.put(b"junk", b"")
            for report in await client.status_cluster():
                status = report.status
                if status is None or status.db_size - status.db_size_in_use < 8 << 20:
                    raise errors.PreconditionFailedError("not yet")

        await patiently(free, errors.PreconditionFailedError)
        yield servers, client


async def test_a_cluster_is_defragmented_under_load_with_no_failed_write() -> None:
    async with (
        a_cluster() as (servers, operator),
        Client(endpoints=servers.endpoints, **PATIENT) as user,
    ):
        leader = await servers.leader()
        done = []
        async with Load(user) as load:
            await load.a_while()
            async for report in operator.defragment_cluster():
                done.append(report)
                await load.a_while()
        await load.check()
    assert len(done) == 3
    assert done[-1].member.name == leader.name
    for report in done:
        assert report.db_size_after < report.db_size_before - (5 << 20)


async def test_a_cluster_is_grown_by_a_learner_and_shrunk_again() -> None:
    async with a_cluster() as (servers, operator):
        joining = servers.new_member()
        # etcd considers a cluster healthy after five seconds.
        learner = await patiently(
            lambda: operator.add_member([joining.peer_url], learner=True),
            errors.UnhealthyClusterError,
        )
        assert learner.is_learner
        await joining.start(wait=False)
        await patiently(learner.promote, errors.LearnerNotReadyError)
        await joining.wait_healthy()

        async def all_well() -> list[Member]:
            reports = await operator.status_cluster()
            if not all(report.healthy for report in reports):
                raise errors.UnhealthyClusterError("not yet")
            return [report.member for report in reports]

        members = await patiently(all_well, errors.UnhealthyClusterError)
        assert sorted(member.name for member in members) == ["m0", "m1", "m2", "m3"]
        assert not any(member.is_learner for member in members)
        assert sorted(await operator.sync_endpoints()) == sorted(servers.endpoints)

        await operator.move_leader(learner.id)
        assert (await servers.leader()).name == joining.name
        reports = await operator.defragment_cluster()
        assert len(reports) == 4
        assert reports[-1].member.id == learner.id, "it leads now, and comes last"

        [first, *_] = [member for member in members if member.id != learner.id]
        await operator.move_leader(first.id)
        await patiently(learner.remove, errors.UnhealthyClusterError)
        await servers.discard(joining)
        assert sorted(await operator.sync_endpoints()) == sorted(servers.endpoints)
        assert sorted(member.name for member in await operator.members()) == ["m0", "m1", "m2"]
        assert (await operator.put(b"key", b"value")).header.revision
