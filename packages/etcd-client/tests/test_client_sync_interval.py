"""`sync_interval` keeps the endpoints of a client in step with the members of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from etcd_client import Client, errors
from etcd_testing import EtcdCluster, EtcdServer

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

PASSING = (errors.UnhealthyClusterError, errors.LeaderChangedError, errors.NoLeaderError)
"""What a cluster answers while it is not ready for a change of its members."""


async def until(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110  # endpoints have no event
            await asyncio.sleep(0.02)

    await asyncio.wait_for(poll(), HANG)


async def patiently(change: Callable[[], Any]) -> Any:
    """Make a change of the members, again as long as the cluster is not ready for it."""

    async def repeat() -> Any:
        while True:
            try:
                return await change()
            except PASSING:  # noqa: PERF203  # rare
                await asyncio.sleep(0.1)

    return await asyncio.wait_for(repeat(), HANG)


async def add(servers: EtcdCluster, operator: Client) -> None:
    member = servers.new_member()
    await patiently(lambda: operator.add_member([member.peer_url]))
    await member.start()


async def remove(servers: EtcdCluster, operator: Client, member: EtcdServer) -> None:
    [entry] = [each for each in await operator.members() if each.name == member.name]
    await patiently(lambda: operator.remove_member(entry.id))
    await servers.discard(member)


async def promote(
    operator: Client, member_id: int, endpoints: Callable[[], Iterable[str]], learner: EtcdServer
) -> None:
    """Promote a learner as soon as that is possible; it is no endpoint before."""

    async def repeat() -> None:
        while True:
            assert learner.endpoint not in endpoints()
            try:
                await operator.promote_member(member_id)
            except (errors.LearnerNotReadyError, *PASSING):
                await asyncio.sleep(0.1)
            else:
                return

    await asyncio.wait_for(repeat(), HANG)


async def test_a_client_follows_members_that_are_added_removed_and_replaced() -> None:
    # These members elect no other leader when a busy machine pauses one.
    args = ["--heartbeat-interval=500", "--election-timeout=5000", "--strict-reconfig-check=false"]
    async with EtcdCluster(3, args=args) as servers:
        stays = await servers.leader()
        seed = next(member for member in servers.members if member is not stays)
        patient: dict[str, Any] = {"connect_wait_timeout": 60, "keepalive_timeout": 60}
        client = Client(endpoints=seed.endpoint, sync_interval=0.1, **patient)
        async with client, Client(endpoints=stays.endpoint, timeout=60, **patient) as operator:

            def in_step() -> bool:
                return sorted(client.channel.endpoints) == sorted(servers.endpoints)

            await until(in_step)
            lease = await client.lease(120)
            await lease.keep_alive()
            async with client.watch(b"key") as watch:
                events = aiter(watch)
                await add(servers, operator)
                await until(in_step)
                # The member that the client was given, and on which its streams may be.
                await remove(servers, operator, seed)
                await until(in_step)
                await add(servers, operator)
                await until(in_step)
                assert seed.endpoint not in client.channel.endpoints
                learner = servers.new_member()
                entry = await patiently(
                    lambda: operator.add_member([learner.peer_url], learner=True)
                )
                await learner.start(wait=False)  # a learner is not healthy
                await promote(operator, entry.id, lambda: client.channel.endpoints, learner)
                await until(in_step)
                revision = (await operator.put(b"key", b"value")).header.revision
                event = await asyncio.wait_for(anext(events), HANG)
                assert event.kv.mod_revision == revision
            assert not lease.is_lost
            await lease.revoke()


async def test_a_client_that_is_opened_again_goes_on(etcd_server: EtcdServer) -> None:
    client = Client(endpoints=[etcd_server.endpoint, "127.0.0.1:1"], sync_interval=0.1)
    for _ in range(2):
        async with client:
            client.channel.set_endpoints([etcd_server.endpoint, "127.0.0.1:1"])
            await until(lambda: client.channel.endpoints == (etcd_server.endpoint,))


@pytest.mark.parametrize(("interval", "error"), [(0, ValueError), ("1", TypeError)])
def test_an_invalid_interval_is_refused(interval: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="sync_interval must be"):
        Client(sync_interval=interval)
