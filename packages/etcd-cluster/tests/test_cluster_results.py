"""The results: constructors, conversion from messages, comparison and repr."""

from __future__ import annotations

import copy
import pickle

import pytest

from etcd_channel import Channel, ResponseHeader, errors
from etcd_cluster import (
    Alarm,
    AlarmType,
    ClusterClient,
    Defragmentation,
    DowngradeInfo,
    HashKV,
    Member,
    MemberStatus,
    Snapshot,
    SnapshotDamagedError,
    Status,
)
from etcd_cluster.pb import cluster_pb2, maintenance_pb2

CLIENT = ClusterClient(Channel("localhost:1"))
OTHER = ClusterClient(Channel("localhost:2"))


def member(**fields: object) -> Member:
    message = cluster_pb2.Member(
        ID=7, name="m7", peerURLs=["http://a:2380"], clientURLs=["http://a:2379"]
    )
    for name, value in fields.items():
        setattr(message, name, value)
    return Member.of(message, CLIENT)


def test_the_documented_constructors() -> None:
    made = Member(7, "m7", ["http://a:2380"], ["http://a:2379"], OTHER)
    assert made == member(), "the client is no part of what a member is"
    assert (made.id, made.name, made.is_learner) == (7, "m7", False)
    named = Member(
        id=7,
        name="m7",
        peer_urls=["http://a:2380"],
        client_urls=("http://a:2379",),
        etcd_client=CLIENT,
    )
    assert named == made
    assert Alarm(alarm_type=1, member_id=7) == Alarm(AlarmType.NOSPACE, 7)
    status = Status("3.5.1", 100, made, 9, 2)
    assert (status.version, status.db_size, status.leader) == ("3.5.1", 100, made)
    assert (status.raft_index, status.raft_term) == (9, 2)
    assert status == Status(version="3.5.1", db_size=100, leader=made, raft_index=9, raft_term=2)


def test_the_endpoints_of_a_member_are_the_client_urls_that_a_channel_accepts() -> None:
    urls = ["unix://localhost:sock", "https://a:2379", "http://[::1]:2379"]
    made = Member(7, "m7", [], urls, CLIENT)
    assert made.endpoints == urls[1:]
    assert made.endpoint == "https://a:2379"
    assert Member(7, "", [], [], CLIENT).endpoint is None


def test_members_are_compared_by_value_and_hashable() -> None:
    assert member() != member(name="other")
    assert member() != member(isLearner=True)
    assert len({member(), member(), member(ID=8)}) == 2
    assert repr(member()) == (
        "Member(id=7, name='m7', peer_urls=['http://a:2380'], client_urls=['http://a:2379'],"
        " is_learner=False)"
    )


def test_alarm_types_are_numbers_with_names() -> None:
    assert [(kind.name, kind.value) for kind in AlarmType] == [
        ("NONE", 0),
        ("NOSPACE", 1),
        ("CORRUPT", 2),
    ]
    assert Alarm(1, 7).alarm_type == 1, "a number, as documented code takes it for"
    newer = Alarm(9, 7).alarm_type
    assert newer == 9
    assert newer.name == "UNKNOWN_9"
    assert newer != AlarmType.CORRUPT
    with pytest.raises(ValueError, match="'9' is not a valid AlarmType"):
        AlarmType("9")  # type: ignore[arg-type]  # on purpose


def test_a_status_of_an_older_server_has_none_for_later_fields() -> None:
    message = maintenance_pb2.StatusResponse(
        version="3.4.23",
        dbSize=8,
        leader=7,
        raftIndex=5,
        raftTerm=2,
        raftAppliedIndex=4,
        errors=["etcdserver: no leader", "memberID:7 alarm:NOSPACE "],
        dbSizeInUse=6,
    )
    message.header.member_id = 8
    status = Status.of(message, [member(ID=6), member()])
    assert status.leader == member()
    assert status.leader_id == 7
    assert status.header.member_id == 8
    assert (status.raft_index, status.raft_applied_index) == (5, 4)
    assert status.errors == ("etcdserver: no leader", "memberID:7 alarm:NOSPACE")
    assert (status.storage_version, status.db_size_quota, status.downgrade) == (None, None, None)
    assert Status.of(message, []).leader is None


def test_a_status_of_a_newer_server_has_all_fields() -> None:
    message = maintenance_pb2.StatusResponse(
        version="3.6.1",
        storageVersion="3.6.0",
        dbSizeQuota=2 << 30,
        isLearner=True,
        downgradeInfo=maintenance_pb2.DowngradeInfo(enabled=True, targetVersion="3.5.0"),
    )
    status = Status.of(message, [])
    assert status.storage_version == "3.6.0"
    assert status.db_size_quota == 2 << 30
    assert status.is_learner
    assert status.downgrade == DowngradeInfo(True, "3.5.0")


def test_a_hash_has_its_revision_if_the_server_returns_it() -> None:
    message = maintenance_pb2.HashKVResponse(hash=5, compact_revision=-1)
    assert HashKV.from_message(message).hash_revision is None
    message.hash_revision = 8
    assert HashKV.from_message(message).hash_revision == 8


def test_a_constructed_result_equals_a_received_one() -> None:
    message = maintenance_pb2.HashKVResponse(hash=5, compact_revision=-1)
    message.header.revision = 9
    made = HashKV(ResponseHeader(revision=9), 5, -1, None)
    assert made == HashKV.from_message(message)
    assert repr(made) == repr(HashKV.from_message(message))
    status = maintenance_pb2.StatusResponse(version="3.5.1", dbSize=100, leader=7)
    status.header.member_id = 7
    by_hand = Status("3.5.1", 100, member(), 0, 0, header=ResponseHeader(member_id=7), leader_id=7)
    assert by_hand == Status.of(status, [member()])


def test_a_member_is_healthy_if_it_answers_and_knows_a_leader() -> None:
    status = Status("3.5.1", 1, None, 1, 1, leader_id=7)
    assert MemberStatus(member(), "a:2379", status).healthy
    assert not MemberStatus(member(), "a:2379", Status("3.5.1", 1, None, 1, 1)).healthy
    failed = errors.ConnectionFailedError("refused")
    assert not MemberStatus(member(), "a:2379", error=failed).healthy


def test_results_survive_a_copy() -> None:
    for result in (
        Alarm(1, 7),
        Snapshot(512 + 32, "ab" * 32, "3.6.1"),
        DowngradeInfo(True, "3.5.0"),
        Status("3.5.1", 1, None, 1, 1),
        HashKV.from_message(maintenance_pb2.HashKVResponse(hash=5)),
        Defragmentation(member(), "a:2379", 0.5, 8, 4),
    ):
        assert copy.copy(result) == result
        assert hash(copy.copy(result)) == hash(result)
        assert pickle.loads(pickle.dumps(result)) == result


def test_a_damaged_snapshot_is_a_data_loss_error() -> None:
    assert issubclass(SnapshotDamagedError, errors.DataLossError)
