"""Clusters: their leader, the loss of members, members that join."""

from __future__ import annotations

import shutil

import pytest

from etcd_testing import EtcdCluster, EtcdctlError, EtcdServer, EtcdTestingError, StartError


async def test_three_members_elect_one_leader_and_share_their_data() -> None:
    async with EtcdCluster(3) as cluster:
        while True:
            leader = await cluster.leader(timeout=60)
            followers = await cluster.followers()
            if leader not in followers and await cluster.leader(timeout=60) is leader:
                break  # no election came between, as it may on a busy machine
        assert leader in cluster.members
        assert {id(member) for member in cluster.members} == {
            id(member) for member in (leader, *followers)
        }
        assert cluster.endpoints == [member.endpoint for member in cluster.members]
        await cluster[0].etcdctl("put", "k", "shared")
        for member in cluster.members:
            assert await member.etcdctl("get", "--print-value-only", "k") == "shared\n"
        directories = [member.directory for member in cluster.members]
    assert not any(directory.exists() for directory in directories)
    assert not any(member.running for member in cluster.members)


async def test_a_killed_leader_is_succeeded_and_comes_back_as_a_member() -> None:
    async with EtcdCluster(3) as cluster:
        old = await cluster.leader()
        await old.kill()
        new = await cluster.leader()
        assert new is not old
        await new.etcdctl("put", "k", "without the old")
        await old.start()
        assert await old.etcdctl("get", "--print-value-only", "k") == "without the old\n"


async def test_a_paused_leader_is_succeeded() -> None:
    async with EtcdCluster(3) as cluster:
        old = await cluster.leader()
        await old.pause()
        assert await cluster.leader() is not old
        assert old not in await cluster.followers()
        await old.resume()
        await old.wait_healthy()


async def test_without_a_majority_there_is_no_leader() -> None:
    async with EtcdCluster(3) as cluster:
        await cluster[0].kill()
        await cluster[1].kill()
        with pytest.raises(TimeoutError, match="no leader"):
            await cluster.leader(timeout=0.5)
        await cluster[0].restart()
        assert await cluster.leader() in (cluster[0], cluster[2])


async def test_a_member_joins_as_a_learner_and_leaves() -> None:
    # Else etcd wants a new member to be active for five seconds before the next change.
    async with EtcdCluster(1, args=["--strict-reconfig-check=false"]) as cluster:
        await cluster[0].etcdctl("put", "k", "before it came")
        member = cluster.new_member("learner")
        await cluster[0].etcdctl(
            "member", "add", "learner", "--learner", f"--peer-urls={member.peer_url}"
        )
        await member.start()
        listed = await cluster[0].etcdctl("member", "list")
        line = next(line for line in listed.splitlines() if "learner" in line)
        assert line.endswith("true")
        assert (await member.metrics())["etcd_server_is_learner"] == 1
        assert await cluster.leader() is cluster[0]

        member_id = line.partition(",")[0]
        await cluster[0].etcdctl("member", "promote", member_id)
        assert await member.etcdctl("get", "--print-value-only", "k") == "before it came\n"
        await cluster[0].etcdctl("member", "remove", member_id)
        await cluster.discard(member)
        assert len(cluster) == 1
        with pytest.raises(EtcdTestingError, match="not a member"):
            await cluster.discard(member)


async def test_an_isolated_leader_is_succeeded_and_follows_when_healed() -> None:
    async with EtcdCluster(3, peer_proxies=True) as cluster:
        old = await cluster.leader()
        first, second = await cluster.followers()
        await cluster.isolate(old)
        new = await cluster.leader()
        assert new is not old
        assert old.running
        await new.etcdctl("put", "k", "of the majority")
        with pytest.raises(EtcdctlError):
            await old.etcdctl("--command-timeout=500ms", "put", "k", "of the one")
        # A stale read is all that the isolated one can give.
        stale = await old.etcdctl("get", "k", "--consistency=s")
        assert stale == ""

        cluster.heal()
        await old.wait_healthy()
        for member in (old, first, second):
            assert await member.etcdctl("get", "--print-value-only", "k") == "of the majority\n"


async def test_a_partition_is_replaced_by_the_next() -> None:
    async with EtcdCluster(3, peer_proxies=True) as cluster:
        one, two, three = cluster.members
        await cluster.isolate(three)
        assert await cluster.leader() in (one, two)
        await cluster.partition([one], [two, three])
        assert await cluster.leader() in (two, three)
        await two.etcdctl("put", "k", "two of three")
        assert await three.etcdctl("get", "--print-value-only", "k") == "two of three\n"
        await cluster.partition([one], [two], [three])
        with pytest.raises(TimeoutError, match="no leader"):
            await cluster.leader(timeout=1.0)
        cluster.heal()
        assert await cluster.leader() in cluster.members


async def test_a_member_joins_behind_a_proxy_and_can_be_isolated() -> None:
    args = ["--strict-reconfig-check=false"]
    async with EtcdCluster(2, peer_proxies=True, args=args) as cluster:
        member = cluster.new_member()
        await cluster[0].etcdctl("member", "add", member.name, f"--peer-urls={member.peer_url}")
        await member.start()
        assert len(await cluster.followers()) == 2
        await cluster.isolate(member)
        assert not await member.healthy(timeout=1.0)
        assert await cluster.leader() is not member
        cluster.heal()
        await member.wait_healthy()


async def test_a_member_that_was_removed_emptied_and_added_can_be_isolated_again() -> None:
    args = ["--strict-reconfig-check=false"]
    async with EtcdCluster(3, peer_proxies=True, args=args) as cluster:
        member = (await cluster.followers())[0]
        other = next(each for each in cluster.members if each is not member)
        await cluster.isolate(member)
        cluster.heal()
        await member.wait_healthy()
        await other.etcdctl("member", "remove", await member.member_id())
        await member.kill()
        shutil.rmtree(member.data_dir)
        await other.etcdctl("member", "add", member.name, f"--peer-urls={member.peer_url}")
        member.initial_cluster_state = "existing"
        await member.start()
        # It has another ID than before, by which the proxies know its connections.
        await cluster.isolate(member)
        assert await cluster.leader() is not member
        assert not await member.healthy(timeout=1.0)
        cluster.heal()
        await member.wait_healthy()


async def test_partitions_that_cannot_be_are_errors() -> None:
    async with EtcdCluster(1) as cluster:
        with pytest.raises(EtcdTestingError, match="peer_proxies"):
            await cluster.isolate(cluster[0])
        cluster.heal()  # There is nothing to heal, and no harm in it.
    async with EtcdCluster(2, peer_proxies=True) as cluster:
        with pytest.raises(ValueError, match="no more than once"):
            await cluster.partition([cluster[0]], [cluster[0]])
        stranger = EtcdServer()
        with pytest.raises(ValueError, match="members of this cluster"):
            await cluster.isolate(stranger)


async def test_members_share_one_authority() -> None:
    pytest.importorskip("trustme")
    async with EtcdCluster(2, tls=True, client_cert_auth=True) as cluster:
        assert cluster[0].tls == cluster[1].tls
        endpoints = ",".join(member.url for member in cluster.members)
        await cluster[1].etcdctl(f"--endpoints={endpoints}", "put", "k", "v")


async def test_a_cluster_that_cannot_start_leaves_no_member() -> None:
    cluster = EtcdCluster(2, args=["--no-such-flag"])
    with pytest.raises(StartError, match="no-such-flag"):
        async with cluster:
            pass
    assert not any(member.running for member in cluster.members)


async def test_options_that_members_cannot_share_are_errors() -> None:
    with pytest.raises(ValueError, match="size"):
        EtcdCluster(0)
    with pytest.raises(ValueError, match="client_port"):
        EtcdCluster(2, client_port=23790)


async def test_a_member_is_an_ordinary_server() -> None:
    async with EtcdCluster(1) as cluster:
        assert isinstance(cluster[0], EtcdServer)
        await cluster[0].restart()
        assert await cluster.leader() is cluster[0]
