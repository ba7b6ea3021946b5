"""The result types and the documented helpers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from etcd_channel import (
    KeyValue,
    KeyValues,
    ResponseHeader,
    lease_to_id,
    prefix_range_end,
    to_bytes,
)
from etcd_channel.pb import common_pb2 as pb

# The type checkers refuse what the tests of mistakes do.
UntypedKeyValue: Any = KeyValue
UntypedHeader: Any = ResponseHeader


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


def test_a_constructed_key_value_equals_a_received_one() -> None:
    by_hand = KeyValue(key=b"k", value=b"v", create_revision=1, mod_revision=2, version=3, lease=4)
    assert by_hand == _key_value()
    assert hash(by_hand) == hash(_key_value())
    assert repr(by_hand) == repr(_key_value())
    assert KeyValue(by_hand) == by_hand
    assert pickle.loads(pickle.dumps(by_hand)) == copy.deepcopy(by_hand) == by_hand
    assert by_hand != KeyValue(key=b"k")


def test_a_field_that_is_not_given_is_empty() -> None:
    bare = KeyValue(key=b"k")
    assert bare == KeyValue(pb.KeyValue(key=b"k"))
    assert repr(bare) == (
        "KeyValue(key=b'k', value=b'', create_revision=0, mod_revision=0, version=0, lease=0)"
    )
    assert ResponseHeader() == ResponseHeader(pb.ResponseHeader())
    assert ResponseHeader(revision=7) == ResponseHeader(pb.ResponseHeader(revision=7))


def test_a_lease_may_have_a_negative_id_and_a_member_one_of_64_bits() -> None:
    assert KeyValue(key=b"k", lease=-1).lease == -1
    assert ResponseHeader(member_id=2**64 - 1).member_id == 2**64 - 1


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: UntypedKeyValue(), TypeError, "key is missing"),
        (lambda: UntypedKeyValue(b"k"), TypeError, "keyvalue must be a KeyValue, not bytes"),
        (lambda: UntypedKeyValue(key="k"), TypeError, "key must be bytes, not str"),
        (
            lambda: UntypedKeyValue(key=b"k", value=None),
            TypeError,
            "value must be bytes, not NoneType",
        ),
        (lambda: UntypedKeyValue(key=b"k", version=-1), ValueError, "version must be at least 0"),
        (
            lambda: UntypedKeyValue(_key_value(), key=b"k"),
            TypeError,
            "or the fields of one, not both",
        ),
        (lambda: UntypedHeader(revision="7"), TypeError, "revision must be an int, not str"),
    ],
)
def test_an_invalid_field_is_named(
    make: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_sequence_of_keys_makes_each_on_access() -> None:
    messages = [pb.KeyValue(key=b"%d" % number) for number in range(3)]
    keys = KeyValues(messages)
    assert [kv.key for kv in keys] == [b"0", b"1", b"2"]
    assert (len(keys), keys[-1].key, keys[:1]) == (3, b"2", [KeyValue(key=b"0")])
    assert keys == KeyValues(messages) == [KeyValue(message) for message in messages]
    assert keys == KeyValues([KeyValue(key=b"%d" % number) for number in range(3)])
    assert keys != KeyValues(messages[:2])
    assert keys != [KeyValue(key=b"0")] * 3
    assert KeyValue(key=b"1") in keys
    assert hash(keys) == hash(KeyValues(messages))
    assert repr(keys) == repr(list(keys))
    assert pickle.loads(pickle.dumps(keys)) == copy.deepcopy(keys) == keys


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


def test_records_have_no_dict() -> None:
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
