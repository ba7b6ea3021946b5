"""The verification of a snapshot, for any division into messages."""

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
    """Verify a snapshot that is divided at these positions, and before its checksum."""
    check = SnapshotCheck()
    places = [0, *sorted({*cuts, min(announced, len(data))}), len(data)]
    passed = b""
    for start, end in itertools.pairwise(places):
        remaining = max(announced - end, 0)
        passed += check.add(pb.SnapshotResponse(blob=data[start:end], remaining_bytes=remaining))
    assert passed == data
    return check


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_a_complete_snapshot_is_valid_for_any_division(cuts: list[int]) -> None:
    taken = follow(WHOLE, cuts).finish()
    assert taken == Snapshot(len(WHOLE), WHOLE[-32:].hex())


@given(st.lists(st.integers(0, len(WHOLE)), max_size=4), st.integers(0, len(WHOLE) * 8 - 1))
def test_a_changed_bit_is_detected(cuts: list[int], bit: int) -> None:
    data = bytearray(WHOLE)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotDamagedError, match="was damaged in transit"):
        follow(bytes(data), cuts).finish()


@given(st.integers(0, len(WHOLE) - 1))
def test_a_missing_end_is_detected(size: int) -> None:
    with pytest.raises(SnapshotDamagedError, match=f"{size} of {len(WHOLE)} bytes were received"):
        follow(WHOLE[:size], [size // 2]).finish()


def test_an_empty_snapshot_is_refused() -> None:
    with pytest.raises(SnapshotDamagedError, match="0 of 0 bytes"):
        SnapshotCheck().finish()


def test_bytes_after_the_checksum_are_refused() -> None:
    with pytest.raises(SnapshotDamagedError, match="was damaged in transit"):
        follow(WHOLE + b"\0", [1000]).finish()


def test_a_database_without_whole_pages_is_refused() -> None:
    data = DATABASE[:-1]
    data += hashlib.sha256(data).digest()
    with pytest.raises(SnapshotDamagedError, match="not whole pages and a checksum"):
        follow(data, [], announced=len(DATABASE) - 1).finish()


def test_the_progress_includes_the_checksum() -> None:
    check = follow(WHOLE[:500], [100])
    assert (check.done, check.total) == (500, len(WHOLE))
    check = follow(WHOLE, [100])
    assert (check.done, check.total) == (len(WHOLE), len(WHOLE))


def test_a_snapshot_has_the_version_if_the_server_returns_it() -> None:
    check = SnapshotCheck()
    check.add(pb.SnapshotResponse(blob=WHOLE[:1024], version="3.6.1"))
    check.add(pb.SnapshotResponse(blob=WHOLE[1024:]))
    assert check.finish().version == "3.6.1"
