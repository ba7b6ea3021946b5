"""Listing, adding, promoting, changing and removing members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from etcd_channel import Channel, errors
from etcd_cluster import ClusterClient, MaintenanceClient, Member
from etcd_testing import EtcdCluster, EtcdServer

NOBODY = "http://127.0.0.1:1"
"""A peer URL without a member."""


@pytest.fixture
async def learner(server: EtcdServer, cluster: ClusterClient) -> Member:
    """A learner that was added and never started."""
    return await cluster.add_member([NOBODY], learner=True)


# The list --------------------------------------------------------------------------------


async def test_members_can_be_awaited(server: EtcdServer, cluster: ClusterClient) -> None:
    members = await cluster.members()
    assert isinstance(members, list)
    [member] = members
    assert isinstance(member, Member)
    assert member.name == server.name
    assert member.peer_urls == [server.peer_url]
    assert server.url in member.client_urls
    assert not member.is_learner


async def test_members_can_be_iterated(cluster: ClusterClient) -> None:
    assert [member async for member in cluster.members()] == await cluster.members()


async def test_each_await_reads_the_members_again(
    cluster: ClusterClient, server: EtcdServer
) -> None:
    listing = cluster.members()
    assert len(await listing) == 1
    await cluster.add_member([NOBODY], learner=True)
    assert len(await listing) == 2
    assert len([member async for member in listing]) == 2


async def test_a_serializable_member_list_needs_no_majority(channel: Channel) -> None:
    cluster = ClusterClient(channel)
    await cluster.add_member([NOBODY])
    # The majority of two members is two, and only one is running.
    known = await cluster.members(linearizable=False)
    assert [member.name for member in known if member.name] == ["etcd"]
    assert len(known) == 2


async def test_a_member_can_be_addressed_for_its_list(server: EtcdServer) -> None:
    channel = Channel("127.0.0.1:1", connect_timeout=3)
    members = await ClusterClient(channel).members(endpoint=server.endpoint)
    assert [member.name for member in members] == ["etcd"]
    with pytest.raises(errors.ConnectionFailedError):
        await ClusterClient(channel).members()
    await channel.close()


# Adding ----------------------------------------------------------------------------------


async def test_a_learner_is_added(cluster: ClusterClient) -> None:
    learner = await cluster.add_member((url for url in [NOBODY]), learner=True)
    assert learner.is_learner
    assert (learner.name, learner.peer_urls, learner.client_urls) == ("", [NOBODY], [])
    assert learner.endpoint is None
    assert learner in await cluster.members()


async def test_a_voting_member_is_added(cluster: ClusterClient) -> None:
    member = await cluster.add_member([NOBODY, "http://127.0.0.1:2"])
    assert not member.is_learner
    assert sorted(member.peer_urls) == [NOBODY, "http://127.0.0.1:2"]


async def test_a_peer_url_in_use_cannot_be_added(
    server: EtcdServer, cluster: ClusterClient
) -> None:
    with pytest.raises(errors.PeerURLExistsError) as caught:
        await cluster.add_member([server.peer_url])
    assert caught.value.definite
    assert len(await cluster.members()) == 1


async def test_a_second_learner_cannot_be_added(cluster: ClusterClient, learner: Member) -> None:
    with pytest.raises(errors.TooManyLearnersError):
        await cluster.add_member(["http://127.0.0.1:2"], learner=True)


# Promoting -------------------------------------------------------------------------------


async def test_a_learner_that_was_never_started_cannot_be_promoted(
    cluster: ClusterClient, learner: Member
) -> None:
    with pytest.raises(errors.LearnerNotReadyError):
        await learner.promote()
    assert learner.is_learner


async def test_a_voting_member_cannot_be_promoted(cluster: ClusterClient) -> None:
    [member] = await cluster.members()
    with pytest.raises(errors.MemberNotLearnerError):
        await member.promote()


async def test_a_learner_is_promoted_when_it_has_caught_up() -> None:
    async with EtcdCluster(1) as servers, Channel(servers.endpoints) as channel:
        cluster, maintenance = ClusterClient(channel), MaintenanceClient(channel)
        new = servers.new_member()
        learner = await cluster.add_member([new.peer_url], learner=True)
        await new.start(wait=False)
        await asyncio.wait_for(_promoted(learner), 60)
        assert not learner.is_learner
        await new.wait_healthy()
        [member] = [each for each in await cluster.members() if each.id == learner.id]
        assert (member.name, member.is_learner) == (new.name, False)
        assert not (await maintenance.status(endpoint=new.endpoint)).is_learner


async def _promoted(learner: Member) -> None:
    while True:
        if await _promotes(learner):
            return
        await asyncio.sleep(0.05)


async def _promotes(learner: Member) -> bool:
    try:
        await learner.promote()
    except errors.LearnerNotReadyError:
        return False
    return True


# Changing and removing -------------------------------------------------------------------


async def test_the_peer_urls_of_a_member_are_changed(
    server: EtcdServer, cluster: ClusterClient
) -> None:
    [member] = await cluster.members()
    urls = sorted([server.peer_url, "http://127.0.0.1:3"])
    members = await cluster.update_member(member.id, urls)
    assert [sorted(each.peer_urls) for each in members] == [urls]
    await member.update(iter([server.peer_url]))
    assert member.peer_urls == [server.peer_url]
    assert [member] == await cluster.members()


async def test_a_member_cannot_be_given_a_peer_url_in_use(
    server: EtcdServer, cluster: ClusterClient, learner: Member
) -> None:
    with pytest.raises(errors.PeerURLExistsError):
        await learner.update([server.peer_url])
    assert learner.peer_urls == [NOBODY]


async def test_a_member_is_removed(cluster: ClusterClient, learner: Member) -> None:
    remaining = await cluster.remove_member(learner.id)
    assert remaining == await cluster.members()
    assert learner not in remaining


async def test_a_member_removes_itself_from_the_cluster(
    cluster: ClusterClient, learner: Member
) -> None:
    await learner.remove()
    assert learner not in await cluster.members()
    with pytest.raises(errors.MemberNotFoundError):
        await learner.remove()


async def test_calls_with_an_unknown_id_raise_member_not_found(cluster: ClusterClient) -> None:
    for call in (
        cluster.remove_member(1),
        cluster.update_member(1, [NOBODY]),
        cluster.promote_member(1),
    ):
        with pytest.raises(errors.MemberNotFoundError) as caught:
            await call
        assert caught.value.definite


async def test_the_last_member_of_a_majority_cannot_be_removed(
    server: EtcdServer, cluster: ClusterClient
) -> None:
    """Of two members, one was never started."""
    [running] = await cluster.members()
    await cluster.add_member([NOBODY])
    # The refusal is raised after other members were tried for as long as `connect_timeout`.
    async with Channel(server.endpoint, connect_timeout=3) as channel:
        with pytest.raises(errors.NotEnoughStartedMembersError) as caught:
            await ClusterClient(channel).remove_member(running.id)
    assert caught.value.definite


# The endpoints ---------------------------------------------------------------------------


@pytest.fixture
async def three() -> AsyncIterator[EtcdCluster]:
    # This cluster accepts changes at once, not only after five seconds.
    async with EtcdCluster(3, args=["--strict-reconfig-check=false"]) as servers:
        yield servers


async def test_sync_endpoints_sets_the_client_urls_of_the_members(three: EtcdCluster) -> None:
    async with Channel(three[0].endpoint) as channel:
        cluster = ClusterClient(channel)
        endpoints = await cluster.sync_endpoints()
        assert sorted(endpoints) == sorted(three.endpoints)
        assert channel.endpoints == endpoints
        await three[0].kill()
        assert len(await cluster.members()) == 3, "another member answers"


async def test_a_removed_member_is_no_longer_an_endpoint(three: EtcdCluster) -> None:
    # Not the leader: a write before the election of the next leader could fail.
    leader = await three.leader()
    gone = next(member for member in three.members if member is not leader)
    left = [member.endpoint for member in three.members if member is not gone]
    async with Channel(left) as channel:
        # Not by the member itself, which stops when it is removed and may not answer.
        [member] = [
            each for each in await ClusterClient(channel).members() if each.name == gone.name
        ]
        await member.remove()
    async with Channel(three.endpoints) as channel:
        cluster = ClusterClient(channel)
        await cluster.sync_endpoints()
        assert sorted(channel.endpoints) == sorted(left)
        learner = three.new_member()
        await cluster.add_member([learner.peer_url], learner=True)
        assert len(await cluster.sync_endpoints()) == 2, "a learner serves no calls"


async def test_sync_endpoints_changes_nothing_if_no_member_advertises_a_url() -> None:
    async with (
        EtcdServer(args=["--advertise-client-urls=unix://localhost:1"]) as server,
        Channel(server.endpoint) as channel,
    ):
        with pytest.raises(errors.NotFoundError, match="advertises a client URL"):
            await ClusterClient(channel).sync_endpoints()
        assert channel.endpoints == (server.endpoint,)
