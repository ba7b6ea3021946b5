"""Rolling defragmentation: one member after the other, while all members are healthy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from cluster_support import HANG, fill

from etcd_channel import Channel, errors
from etcd_cluster import ClusterClient, MaintenanceClient
from etcd_testing import EtcdCluster, EtcdServer

CALM = ["--heartbeat-interval=500", "--election-timeout=5000"]
"""The settings of members that elect no other leader when a busy machine pauses one."""


@pytest.fixture
async def three() -> AsyncIterator[EtcdCluster]:
    async with EtcdCluster(3, args=CALM) as servers:
        yield servers


@pytest.fixture
async def maintenance(three: EtcdCluster) -> AsyncIterator[MaintenanceClient]:
    async with Channel(three.endpoints, connect_timeout=5) as channel:
        yield MaintenanceClient(channel)


async def defragmentations(server: EtcdServer) -> float:
    """Return how often a member was defragmented, by its metrics."""
    return (await server.metrics())["etcd_disk_backend_defrag_duration_seconds_count"]


async def test_every_member_is_defragmented_the_leader_last(
    three: EtcdCluster, maintenance: MaintenanceClient
) -> None:
    await fill(three[0], 3)
    await three[0].etcdctl("del", "big/", "--prefix")
    await three[0].etcdctl("compact", "5", "--physical")
    leader = await three.leader()
    done = await maintenance.defragment_cluster()
    assert [await defragmentations(server) for server in three.members] == [1, 1, 1]
    assert {report.member.name for report in done} == {"m0", "m1", "m2"}
    assert done[-1].member.name == leader.name
    for report in done:
        assert report.seconds > 0
        assert report.db_size_after < report.db_size_before - (2 << 20)
        assert report.endpoint in three.endpoints


async def test_each_member_is_yielded_before_the_next_is_defragmented(
    three: EtcdCluster, maintenance: MaintenanceClient
) -> None:
    seen = 0
    async for report in maintenance.defragment_cluster():
        seen += 1
        counts = [await defragmentations(server) for server in three.members]
        assert sum(counts) == seen
        [member] = [server for server in three.members if server.name == report.member.name]
        assert await defragmentations(member) == 1
    assert seen == 3


async def test_leaving_the_loop_does_not_change_the_other_members(
    three: EtcdCluster, maintenance: MaintenanceClient
) -> None:
    listing = maintenance.defragment_cluster()
    assert [await defragmentations(server) for server in three.members] == [0, 0, 0]
    async with aclosing(listing.__aiter__()) as reports:
        async for _ in reports:
            break
    assert sum([await defragmentations(server) for server in three.members]) == 1


async def test_nothing_is_defragmented_while_a_member_is_down(
    three: EtcdCluster, maintenance: MaintenanceClient
) -> None:
    [down, up] = await three.followers()
    await down.kill()
    with pytest.raises(errors.UnhealthyClusterError) as caught:
        await maintenance.defragment_cluster()
    assert caught.value.definite
    assert "nothing was defragmented" in str(caught.value)
    assert f"member {down.name} " in str(caught.value)
    assert f"member {up.name} " not in str(caught.value)
    assert await defragmentations(up) == 0


async def test_defragmentation_stops_when_a_member_goes_down() -> None:
    # The others are to elect a leader soon, and are not healthy before.
    async with EtcdCluster(3) as three, Channel(three.endpoints, connect_timeout=5) as channel:
        maintenance = MaintenanceClient(channel)
        reports = aiter(maintenance.defragment_cluster(health_timeout=10))
        first = await anext(reports)
        leader = await three.leader()
        others = [server for server in three.members if server.name != first.member.name]
        down = leader if leader in others else others[0]
        await down.kill()
        match = (
            f"member {first.member.name} .* was defragmented, .* member {down.name} .* not answer"
        )
        with pytest.raises(errors.UnhealthyClusterError, match=match):
            await anext(reports)
        up = [server for server in three.members if server.running]
        assert sum([await defragmentations(server) for server in up]) == 1


async def test_defragmentation_waits_for_a_member_that_restarts(
    three: EtcdCluster, maintenance: MaintenanceClient
) -> None:
    done = 0
    async for _ in maintenance.defragment_cluster(health_timeout=HANG):
        done += 1
        if done == 1:
            [follower, _] = await three.followers()
            await follower.restart(wait=False)
    assert done == 3


async def test_a_learner_is_skipped() -> None:
    async with (
        EtcdCluster(1) as servers,
        Channel(servers.endpoints, connect_timeout=5) as channel,
    ):
        maintenance = MaintenanceClient(channel)
        learner = servers.new_member()
        await ClusterClient(channel).add_member([learner.peer_url], learner=True)
        with pytest.raises(errors.UnhealthyClusterError, match="was never started"):
            await maintenance.defragment_cluster()
        await learner.start(wait=False)
        while True:
            if all(report.healthy for report in await maintenance.status_cluster()):
                break
        [report] = await maintenance.defragment_cluster()
        assert report.member.name == servers[0].name
        assert await defragmentations(learner) == 0


async def test_a_member_is_called_at_the_channels_endpoint(three: EtcdCluster) -> None:
    """A member may advertise a URL that cannot be reached from here."""
    async with EtcdServer(args=["--advertise-client-urls=http://nowhere.invalid:1"]) as server:
        async with Channel(server.endpoint) as channel:
            [report] = await MaintenanceClient(channel).defragment_cluster()
    assert report.endpoint == server.endpoint
