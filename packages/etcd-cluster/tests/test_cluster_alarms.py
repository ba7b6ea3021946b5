"""Raising, listing and disarming alarms, and their effect on the server."""

from __future__ import annotations

import pytest

from etcd_channel import Channel, errors
from etcd_cluster import Alarm, AlarmType, ClusterClient, MaintenanceClient
from etcd_testing import EtcdctlError, EtcdServer


@pytest.fixture
async def member_id(cluster: ClusterClient) -> int:
    [member] = await cluster.members()
    return member.id


async def test_an_alarm_for_all_stops_writes_until_it_is_disarmed(
    server: EtcdServer, maintenance: MaintenanceClient
) -> None:
    alarm = Alarm(AlarmType.NOSPACE, 0)
    assert await maintenance.create_alarm() == [alarm]
    assert await maintenance.list_alarms() == [alarm]
    with pytest.raises(EtcdctlError, match="database space exceeded"):
        await server.etcdctl("put", "key", "value")
    assert await maintenance.disarm_alarm() == [alarm]
    assert await maintenance.list_alarms() == []
    await server.etcdctl("put", "key", "value")


async def test_alarms_can_be_awaited_and_iterated(maintenance: MaintenanceClient) -> None:
    await maintenance.create_alarm()
    listing = maintenance.list_alarms()
    assert [alarm async for alarm in listing] == await listing == [Alarm(AlarmType.NOSPACE, 0)]


async def test_a_database_at_its_quota_raises_an_alarm_of_its_member() -> None:
    async with EtcdServer(quota_backend_bytes=1_000_000) as server:
        with pytest.raises(EtcdctlError, match="database space exceeded"):
            await _fill_up(server)
        async with Channel(server.endpoint) as channel:
            maintenance = MaintenanceClient(channel)
            [member] = await ClusterClient(channel).members()
            [alarm] = await member.active_alarms()
            assert alarm == Alarm(AlarmType.NOSPACE, member.id)
            assert any("NOSPACE" in error for error in (await maintenance.status()).errors)
            # In the documented API 0 means every member; to the server it means none of them.
            assert await maintenance.disarm_alarm(0) == [alarm]


async def test_an_alarm_of_a_member_is_disarmed_only_for_that_member(
    maintenance: MaintenanceClient, cluster: ClusterClient, member_id: int
) -> None:
    learner = await cluster.add_member(["http://127.0.0.1:1"], learner=True)
    [own] = await maintenance.create_alarm(member_id)
    assert own == Alarm(AlarmType.NOSPACE, member_id)
    assert await maintenance.list_alarms(member_id) == [own]
    assert await maintenance.list_alarms(learner.id) == []
    assert await maintenance.disarm_alarm(learner.id) == []
    [of_all] = await maintenance.create_alarm()
    assert await learner.active_alarms() == [of_all], "everybody's is each one's"
    assert await maintenance.disarm_alarm(member_id) == [own]
    assert await maintenance.list_alarms() == [of_all]


async def test_a_corrupt_alarm_is_disarmed_only_by_its_type(
    maintenance: MaintenanceClient, server: EtcdServer, member_id: int
) -> None:
    [corrupt] = await maintenance.create_alarm(member_id, alarm_type="corrupt")
    assert corrupt == Alarm(AlarmType.CORRUPT, member_id)
    [space] = await maintenance.create_alarm(alarm_type=AlarmType.NOSPACE)
    assert await maintenance.list_alarms(0, "corrupt") == [corrupt]
    assert await maintenance.list_alarms(alarm_type="no space") == [space]
    assert set(await maintenance.list_alarms()) == {corrupt, space}
    with pytest.raises(EtcdctlError):
        await server.etcdctl("put", "key", "value")
    assert await maintenance.disarm_alarm() == [space]
    assert await maintenance.list_alarms() == [corrupt]
    assert await maintenance.disarm_alarm(alarm_type="corrupt") == [corrupt]
    await server.etcdctl("put", "key", "value")


async def test_alarms_of_every_type_are_disarmed_together(maintenance: MaintenanceClient) -> None:
    raised = await maintenance.create_alarm()
    raised += await maintenance.create_alarm(alarm_type="corrupt")
    assert set(await maintenance.disarm_alarm(alarm_type="none")) == set(raised)
    assert await maintenance.disarm_alarm(alarm_type="none") == []


async def test_raising_an_alarm_twice_has_no_effect(maintenance: MaintenanceClient) -> None:
    assert await maintenance.create_alarm() == await maintenance.create_alarm()
    assert len(await maintenance.list_alarms()) == 1


async def test_no_alarm_is_raised_for_an_unknown_member(
    maintenance: MaintenanceClient,
) -> None:
    """The server would accept any id, and would stop all writes."""
    with pytest.raises(errors.MemberNotFoundError, match="no member of the cluster has the id 77"):
        await maintenance.create_alarm(77)
    assert await maintenance.list_alarms() == []


async def _fill_up(server: EtcdServer) -> None:
    for number in range(20):
        await server.etcdctl("put", str(number), stdin="x" * 200_000)
