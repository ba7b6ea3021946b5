"""The maintenance calls."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from cluster_support import HANG

from etcd_channel import Channel, ConnectionFailedError, RevisionCompactedError, errors
from etcd_cluster import ClusterClient, MaintenanceClient, MemberStatus
from etcd_testing import EtcdCluster, EtcdServer
from etcd_testing.played import PlayedEtcd

PATIENT: dict[str, Any] = {"connect_timeout": HANG, "keepalive_timeout": HANG, "timeout": HANG}


def release(version: str) -> tuple[int, ...]:
    """Return a version for comparisons: "3.5.16" is (3, 5, 16)."""
    return tuple(int(part) for part in version.split("."))


# Status ----------------------------------------------------------------------------------


async def test_the_status_of_a_member(server: EtcdServer, maintenance: MaintenanceClient) -> None:
    status = await maintenance.status()
    assert status.version == server.version
    assert status.leader is not None
    assert status.leader.name == server.name
    assert status.leader.id == status.leader_id == status.header.member_id
    assert 0 < status.db_size_in_use <= status.db_size
    assert 0 < status.raft_applied_index <= status.raft_index
    assert status.raft_term == status.header.raft_term > 0
    assert status.header.revision == 1
    assert (status.errors, status.is_learner) == ((), False)
    newer = release(server.version) >= (3, 6)
    assert (status.storage_version is not None) is newer
    assert (status.db_size_quota is not None) is newer


async def test_the_leader_of_a_status_is_a_member_with_methods(
    maintenance: MaintenanceClient,
) -> None:
    leader = (await maintenance.status()).leader
    assert leader is not None
    assert await leader.active_alarms() == []
    assert (await maintenance.status(endpoint=leader.endpoint)).leader == leader


async def test_a_member_without_a_leader_reports_it(
    cluster: ClusterClient, maintenance: MaintenanceClient
) -> None:
    await cluster.add_member(["http://127.0.0.1:1"])

    async def led() -> bool:
        return (await maintenance.status()).leader_id != 0

    await asyncio.wait_for(_until_not(led), HANG)
    status = await maintenance.status()
    assert status.leader is None
    assert "etcdserver: no leader" in status.errors


async def _until_not(condition: Callable[[], Any]) -> None:
    while True:
        if not await condition():
            return
        await asyncio.sleep(0.02)


async def test_a_learner_reports_its_status_and_the_leader() -> None:
    async with EtcdCluster(1) as servers, Channel(servers.endpoints) as channel:
        learner = servers.new_member()
        await ClusterClient(channel).add_member([learner.peer_url], learner=True)
        await learner.start(wait=False)
        maintenance = MaintenanceClient(channel)

        async def silent() -> bool:
            try:
                status = await maintenance.status(endpoint=learner.endpoint)
            except (ConnectionFailedError, errors.ConnectionTimeoutError):
                return True
            return status.leader is None

        await asyncio.wait_for(_until_not(silent), HANG)
        status = await maintenance.status(endpoint=learner.endpoint)
        assert status.is_learner
        assert status.leader is not None
        assert status.leader.name == servers[0].name
        with pytest.raises(errors.NotSupportedForLearnerError):
            await maintenance.defragment(endpoint=learner.endpoint)


# A cluster -------------------------------------------------------------------------------


@pytest.fixture
async def three() -> AsyncIterator[EtcdCluster]:
    async with EtcdCluster(3) as servers:
        yield servers


@pytest.fixture
async def calm() -> AsyncIterator[EtcdCluster]:
    """Three members that elect no other leader when a busy machine pauses one."""
    args = ["--heartbeat-interval=500", "--election-timeout=5000"]
    async with EtcdCluster(3, args=args) as servers:
        yield servers


def by_name(reports: list[MemberStatus]) -> dict[str, MemberStatus]:
    return {report.member.name: report for report in reports}


async def test_each_call_can_address_a_member(three: EtcdCluster) -> None:
    async with Channel(three[0].endpoint, connect_timeout=5) as channel:
        maintenance = MaintenanceClient(channel)
        ids = {
            (await maintenance.status(endpoint=endpoint)).header.member_id
            for endpoint in three.endpoints
        }
        assert len(ids) == 3
        ids = {
            (await maintenance.hash_kv(endpoint=endpoint)).header.member_id
            for endpoint in three.endpoints
        }
        assert len(ids) == 3
        down = three[1]
        await down.kill()
        calls: tuple[Callable[..., Awaitable[object]], ...] = (
            maintenance.status,
            maintenance.hash,
            maintenance.hash_kv,
            maintenance.defragment,
        )
        for answer in await asyncio.gather(
            *(call(endpoint=down.endpoint) for call in calls), return_exceptions=True
        ):
            assert isinstance(answer, ConnectionFailedError)
            assert answer.endpoint == down.endpoint, "no other member answers in its place"


async def test_status_cluster_returns_the_status_of_all_members(three: EtcdCluster) -> None:
    # One endpoint is enough: the member list has the other ones.
    async with Channel(three[0].endpoint) as channel:
        maintenance = MaintenanceClient(channel)
        while True:
            before = (await three.leader()).name
            reports = await maintenance.status_cluster()
            if (await three.leader()).name == before:
                break  # no election came between, as it may on a busy machine
        assert sorted(by_name(reports)) == ["m0", "m1", "m2"]
        assert all(report.healthy for report in reports)
        leaders = {report.status.leader for report in reports if report.status is not None}
        assert [leader and leader.name for leader in leaders] == [before]
        assert by_name(reports)["m0"].endpoint == three[0].endpoint


async def test_a_member_that_does_not_answer_has_an_error(calm: EtcdCluster) -> None:
    leader = await calm.leader()
    [down, up] = await calm.followers()
    await down.kill()
    async with Channel(calm.endpoints, connect_timeout=5) as channel:
        reports = by_name(await MaintenanceClient(channel).status_cluster())
    assert reports[leader.name].healthy
    assert reports[up.name].healthy
    assert not reports[down.name].healthy
    assert isinstance(reports[down.name].error, ConnectionFailedError)


async def test_status_cluster_works_without_a_majority(three: EtcdCluster) -> None:
    await three[1].kill()
    await three[2].kill()
    async with Channel(three.endpoints, connect_timeout=5) as channel:
        maintenance = MaintenanceClient(channel)

        async def led() -> bool:
            reports = by_name(await maintenance.status_cluster())
            assert reports["m0"].status is not None
            return reports["m0"].healthy

        await asyncio.wait_for(_until_not(led), HANG)


async def test_the_leadership_is_transferred(calm: EtcdCluster) -> None:
    async with Channel(calm.endpoints, **PATIENT) as channel:
        maintenance = MaintenanceClient(channel)
        for member in await ClusterClient(channel).members():
            await maintenance.move_leader(member.id)
            leader = (await maintenance.status()).leader
            assert leader == member
            assert (await calm.leader()).name == member.name


async def test_the_leader_is_called_at_its_advertised_url_if_it_is_no_endpoint(
    calm: EtcdCluster,
) -> None:
    [follower, _] = await calm.followers()
    async with Channel(follower.endpoint, **PATIENT) as channel:
        maintenance = MaintenanceClient(channel)
        here = (await maintenance.status()).header.member_id
        await maintenance.move_leader(here)
        assert (await maintenance.status()).leader_id == here


async def test_a_follower_cannot_transfer_the_leadership(calm: EtcdCluster) -> None:
    [follower, _] = await calm.followers()
    async with Channel(calm.endpoints, **PATIENT) as channel:
        maintenance = MaintenanceClient(channel)
        target = (await maintenance.status()).leader_id
        with pytest.raises(errors.NotLeaderError):
            await maintenance.move_leader(target, endpoint=follower.endpoint)
        with pytest.raises(errors.BadLeaderTransfereeError):
            await maintenance.move_leader(1)


# The database ----------------------------------------------------------------------------


async def test_members_with_the_same_data_have_the_same_hash(three: EtcdCluster) -> None:
    for number in range(5):
        await three[0].etcdctl("put", f"key/{number}", "value")
    async with Channel(three.endpoints) as channel:
        maintenance = MaintenanceClient(channel)
        hashes = [await maintenance.hash_kv(4, endpoint=each) for each in three.endpoints]
        assert len({found.hash for found in hashes}) == 1
        other = await maintenance.hash_kv(5)
        assert other.hash != hashes[0].hash
        assert isinstance(await maintenance.hash(), int)


async def test_a_compacted_revision_cannot_be_hashed(
    server: EtcdServer, maintenance: MaintenanceClient
) -> None:
    for number in range(8):
        await server.etcdctl("put", "key", str(number))
    assert (await maintenance.hash_kv()).compact_revision == -1
    await server.etcdctl("compact", "5", "--physical")
    assert (await maintenance.hash_kv()).compact_revision == 5
    assert (await maintenance.hash_kv(6)).compact_revision == 5
    for gone in (1, 4):
        with pytest.raises(RevisionCompactedError) as caught:
            await maintenance.hash_kv(gone)
        assert caught.value.compacted_revision == 5
        assert caught.value.definite
    with pytest.raises(errors.FutureRevisionError):
        await maintenance.hash_kv(100)


async def test_defragmentation_frees_unused_space(
    server: EtcdServer, maintenance: MaintenanceClient
) -> None:
    for number in range(4):
        await server.etcdctl("put", f"big/{number}", stdin="x" * 1_000_000)
    await server.etcdctl("del", "big/", "--prefix")
    await server.etcdctl("compact", "6", "--physical")
    before = await maintenance.status()
    await maintenance.defragment()
    after = await maintenance.status()
    assert after.db_size < before.db_size - 3_000_000
    assert after.db_size_in_use <= after.db_size


async def test_defragmentation_has_no_timeout_by_default() -> None:
    """The channel's timeout does not apply to it."""
    async with EtcdServer() as server:
        channel = Channel(
            server.endpoint, timeout=0.3, connect_timeout=HANG, keepalive_timeout=HANG
        )
        maintenance = MaintenanceClient(channel)
        await maintenance.status(timeout=HANG)
        await server.pause()
        asking = asyncio.create_task(maintenance.defragment())
        with pytest.raises(errors.ConnectionTimeoutError):
            await maintenance.defragment(timeout=0.6)
        assert not asking.done()
        await server.resume()
        await asyncio.wait_for(asking, HANG)
        await channel.close()


# Downgrades ------------------------------------------------------------------------------


def downgrades(server: EtcdServer) -> bool:
    return release(server.version) >= (3, 5)


async def test_a_downgrade_is_validated(server: EtcdServer, maintenance: MaintenanceClient) -> None:
    if not downgrades(server):
        with pytest.raises(errors.UnsupportedByServerError, match=r"needs etcd 3\.5 or later"):
            await maintenance.validate_downgrade("3.3")
        return
    major, minor, _ = release(server.version)
    for version in (f"{major}.{minor - 1}", f"{major}.{minor - 1}.0"):
        assert (await maintenance.validate_downgrade(version)).startswith(f"{major}.{minor}.")
    for version in (f"{major}.{minor}", f"{major}.{minor - 2}", "9.9"):
        with pytest.raises(errors.InvalidDowngradeTargetError):
            await maintenance.validate_downgrade(version)
    with pytest.raises(errors.WrongDowngradeVersionFormatError):
        await maintenance.validate_downgrade("yesterday's")


async def test_a_downgrade_is_enabled_once_and_cancelled(
    server: EtcdServer, maintenance: MaintenanceClient
) -> None:
    if not downgrades(server):
        with pytest.raises(errors.UnsupportedByServerError):
            await maintenance.enable_downgrade("3.3")
        with pytest.raises(errors.UnsupportedByServerError):
            await maintenance.cancel_downgrade()
        return
    with pytest.raises(errors.NoInflightDowngradeError):
        await maintenance.cancel_downgrade()
    major, minor, _ = release(server.version)
    older = f"{major}.{minor - 1}"

    async def in_process() -> bool:
        try:
            await maintenance.validate_downgrade(older)
        except errors.DowngradeInProcessError:
            return True
        return False

    async def not_in_process() -> bool:
        return not await in_process()

    await carried_out(
        server, lambda timeout: maintenance.enable_downgrade(older, timeout=timeout), in_process
    )
    for call in (maintenance.validate_downgrade, maintenance.enable_downgrade):
        with pytest.raises(errors.DowngradeInProcessError):
            await call(older)
    await carried_out(
        server, lambda timeout: maintenance.cancel_downgrade(timeout=timeout), not_in_process
    )
    assert await maintenance.validate_downgrade(older)
    with pytest.raises(errors.NoInflightDowngradeError):
        await maintenance.cancel_downgrade()


async def carried_out(
    server: EtcdServer,
    call: Callable[[float], Awaitable[str]],
    has_effect: Callable[[], Awaitable[bool]],
) -> None:
    """A server of etcd 3.5 executes the call and does not answer."""
    if release(server.version) >= (3, 6):
        assert await call(HANG)
        return
    # The server knows the deadline too, and may report it first.
    unanswered = (errors.ConnectionTimeoutError, errors.RequestTimedOutError)
    refused = (errors.DowngradeInProcessError, errors.NoInflightDowngradeError)

    async def repeat() -> None:
        expected: tuple[type[errors.ClientError], ...] = unanswered
        while True:
            with pytest.raises(expected) as caught:
                await call(1)
            assert caught.value.definite == isinstance(caught.value, refused)
            if await has_effect():
                return
            # A server that was paused has not begun it in time, and may do so now.
            expected = unanswered + refused

    await asyncio.wait_for(repeat(), HANG)


# A server that is too old ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "since"),
    [
        (lambda c, m: c.members(), "Cluster.MemberList needs etcd 3.0"),
        (lambda c, m: c.add_member(["http://a:1"]), "Cluster.MemberAdd needs etcd 3.0"),
        (lambda c, m: c.remove_member(1), "Cluster.MemberRemove needs etcd 3.0"),
        (lambda c, m: c.update_member(1, ["http://a:1"]), "Cluster.MemberUpdate needs etcd 3.0"),
        (lambda c, m: c.promote_member(1), "Cluster.MemberPromote needs etcd 3.4"),
        (lambda c, m: m.status(), "Maintenance.Status needs etcd 3.0"),
        (lambda c, m: m.create_alarm(), "Maintenance.Alarm needs etcd 3.0"),
        (lambda c, m: m.list_alarms(), "Maintenance.Alarm needs etcd 3.0"),
        (lambda c, m: m.disarm_alarm(), "Maintenance.Alarm needs etcd 3.0"),
        (lambda c, m: m.defragment(), "Maintenance.Defragment needs etcd 3.0"),
        (lambda c, m: m.hash(), "Maintenance.Hash needs etcd 3.0"),
        (lambda c, m: m.hash_kv(), "Maintenance.HashKV needs etcd 3.3"),
        (lambda c, m: m.snapshot(io.BytesIO()), "Maintenance.Snapshot needs etcd 3.3"),
        (lambda c, m: m.validate_downgrade("3.4"), "Maintenance.Downgrade needs etcd 3.5"),
    ],
)
async def test_a_call_that_the_server_does_not_know_raises_unsupported(
    call: Callable[[ClusterClient, MaintenanceClient], Any], since: str
) -> None:
    async with PlayedEtcd() as old, Channel(old.endpoint) as channel:
        with pytest.raises(errors.UnsupportedByServerError, match=since) as caught:
            await call(ClusterClient(channel), MaintenanceClient(channel))
        assert caught.value.definite
