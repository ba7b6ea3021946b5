"""A snapshot is followed to the checksum at its end, however it is cut into messages."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_cluster import Snapshot, SnapshotDamagedError
from etcd_cluster.pb import maintenance_pb2 as pb
from etcd_cluster.snapshot import SnapshotCheck

DATABASE = bytes(range(256)) * 4
WHOLE = DATABASE + hashlib.sha256(DATABASE).digest()


def follow(data: bytes, cuts: list[int], announced: int = len(DATABASE)) -> SnapshotCheck:
    """Follow a snapshot that is cut at these places, and as every server does at its checksum."""
    check = SnapshotCheck()
    places = [0, *sorted({*cuts, min(announced, len(data))}), len(data)]
    passed = b""
    for start, end in itertools.pairwise(places):
        remaining = max(announced - end, 0)
        passed += check.add(pb.SnapshotResponse(blob=data[start:end], remaining_bytes=remaining))
    assert passed == data
    return check


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_a_whole_snapshot_is_one_however_it_is_cut(cuts: list[int]) -> None:
    taken = follow(WHOLE, cuts).finish()
    assert taken == Snapshot(len(WHOLE), WHOLE[-32:].hex())


@given(st.lists(st.integers(0, len(WHOLE)), max_size=4), st.integers(0, len(WHOLE) * 8 - 1))
def test_no_bit_of_it_can_change(cuts: list[int], bit: int) -> None:
    data = bytearray(WHOLE)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotDamagedError, match="was damaged on its way"):
        follow(bytes(data), cuts).finish()


@given(st.integers(0, len(WHOLE) - 1))
def test_none_of_its_end_can_be_missing(size: int) -> None:
    with pytest.raises(SnapshotDamagedError, match=f"{size} of {len(WHOLE)} bytes came"):
        follow(WHOLE[:size], [size // 2]).finish()


def test_nothing_at_all_is_no_snapshot() -> None:
    with pytest.raises(SnapshotDamagedError, match="0 of 0 bytes"):
        SnapshotCheck().finish()


def test_nothing_follows_the_checksum() -> None:
    with pytest.raises(SnapshotDamagedError, match="was damaged on its way"):
        follow(WHOLE + b"\0", [1000]).finish()


def test_what_has_no_whole_pages_is_no_database() -> None:
    data = DATABASE[:-1]
    data += hashlib.sha256(data).digest()
    with pytest.raises(SnapshotDamagedError, match="no database with a checksum"):
        follow(data, [], announced=len(DATABASE) - 1).finish()


def test_the_progress_counts_the_checksum_too() -> None:
    check = follow(WHOLE[:500], [100])
    assert (check.done, check.total) == (500, len(WHOLE))
    check = follow(WHOLE, [100])
    assert (check.done, check.total) == (len(WHOLE), len(WHOLE))


def test_the_version_is_told_where_the_server_tells_it() -> None:
    check = SnapshotCheck()
    check.add(pb.SnapshotResponse(blob=WHOLE[:1024], version="3.6.1"))
    check.add(pb.SnapshotResponse(blob=WHOLE[1024:]))
    assert check.finish().version == "3.6.1"
