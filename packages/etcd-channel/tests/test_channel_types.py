"""The result types and the documented helpers."""

from __future__ import annotations

import copy
import pickle

import pytest

from etcd_channel import KeyValue, ResponseHeader, lease_to_id, prefix_range_end, to_bytes
from etcd_channel.pb import common_pb2 as pb


def _key_value(value: bytes = b"v", version: int = 3) -> KeyValue:
    return KeyValue(
        pb.KeyValue(
            key=b"k", value=value, create_revision=1, mod_revision=2, version=version, lease=4
        )
    )


def test_a_key_value_has_the_fields_of_the_message() -> None:
    pair = _key_value()
    assert (pair.key, pair.value, pair.lease) == (b"k", b"v", 4)
    assert (pair.create_revision, pair.mod_revision, pair.version) == (1, 2, 3)


def test_a_header_has_the_fields_of_the_message() -> None:
    header = ResponseHeader(pb.ResponseHeader(cluster_id=1, member_id=2, revision=3, raft_term=4))
    assert repr(header) == "ResponseHeader(cluster_id=1, member_id=2, revision=3, raft_term=4)"


def test_records_are_equal_by_their_fields() -> None:
    assert _key_value() == _key_value()
    assert hash(_key_value()) == hash(_key_value())
    assert _key_value() != _key_value(version=4)
    assert _key_value() != ResponseHeader(pb.ResponseHeader())
    assert _key_value() != (b"k", b"v")


def test_records_can_be_copied_and_pickled() -> None:
    pair = _key_value()
    assert pickle.loads(pickle.dumps(pair)) == pair
    assert copy.copy(pair) == copy.deepcopy(pair) == pair


def test_records_hold_nothing_but_their_fields() -> None:
    with pytest.raises(AttributeError):
        _key_value().colour = "red"  # type: ignore[attr-defined]  # that is what is tested


def test_a_long_value_is_shown_by_its_beginning_and_its_length() -> None:
    shown = repr(_key_value(b"x" * 100_000))
    assert "... (100000 bytes)" in shown
    assert len(shown) < 300


@pytest.mark.parametrize(
    ("prefix", "range_end"),
    [
        (b"a", b"b"),
        (b"ab", b"ac"),
        (b"ab\x00", b"ab\x01"),
        (b"ab\xff", b"ac"),
        (b"a\xff\xff", b"b"),
        (b"\xff", b"\0"),
        (b"\xff\xff", b"\0"),
        (b"", b"\0"),
    ],
)
def test_the_end_of_a_prefix_is_the_first_key_after_it(prefix: bytes, range_end: bytes) -> None:
    assert prefix_range_end(prefix) == range_end


def test_strings_become_bytes_in_utf_8() -> None:
    assert to_bytes(b"\xff") == b"\xff"
    assert to_bytes("é") == b"\xc3\xa9"


def test_a_lease_is_its_id_or_has_one() -> None:
    class Lease:
        id = 7

    assert lease_to_id(Lease()) == 7
    assert lease_to_id(8) == 8
    assert lease_to_id("9") == 9
    assert lease_to_id(None) == 0
