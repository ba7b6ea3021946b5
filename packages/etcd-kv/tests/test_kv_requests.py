"""From arguments to requests: what is sent, byte for byte, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_channel import prefix_range_end
from etcd_channel.arguments import INT64_MAX
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import (
    checked_prefix,
    checked_range,
    compaction_request,
    delete_request,
    lease_id,
    put_request,
    range_request,
)

keys = st.binary(min_size=1, max_size=8)
# Few byte values, so that keys share prefixes and end in 0xff often.
near_keys = st.lists(st.sampled_from([0, 1, 97, 254, 255]), max_size=5).map(bytes)
numbers = st.integers(min_value=0, max_value=INT64_MAX)


class HeldLease:
    """As much of a lease as a put must know."""

    def __init__(self, id: Any) -> None:
        self.id = id


def test_a_plain_read_sends_nothing_but_the_key() -> None:
    assert range_request(b"key").SerializeToString() == b"\x0a\x03key"


@given(
    key=keys,
    end=near_keys,
    limit=numbers,
    revision=numbers,
    least_mod=numbers,
    most_mod=numbers,
    least_create=numbers,
    most_create=numbers,
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_every_option_of_a_read_is_sent_as_it_was_given(
    key: bytes,
    end: bytes,
    limit: int,
    revision: int,
    least_mod: int,
    most_mod: int,
    least_create: int,
    most_create: int,
    flags: tuple[bool, bool, bool],
) -> None:
    request = range_request(
        key,
        end,
        options={
            "limit": limit,
            "revision": revision,
            "min_mod_revision": least_mod,
            "max_mod_revision": most_mod,
            "min_create_revision": least_create,
            "max_create_revision": most_create,
            "keys_only": flags[0],
            "count_only": flags[1],
            "serializable": flags[2],
        },
    )
    assert request == pb.RangeRequest(
        key=key,
        range_end=end,
        limit=limit,
        revision=revision,
        min_mod_revision=least_mod,
        max_mod_revision=most_mod,
        min_create_revision=least_create,
        max_create_revision=most_create,
        keys_only=flags[0],
        count_only=flags[1],
        serializable=flags[2],
    )


def test_an_option_of_none_is_as_good_as_left_out() -> None:
    options = dict.fromkeys(("limit", "revision", "min_mod_revision", "count_only"))
    assert range_request(b"key", options=options) == range_request(b"key")


@pytest.mark.parametrize(
    ("order", "sent"),
    [
        (None, pb.RangeRequest.NONE),
        ("ascend", pb.RangeRequest.ASCEND),
        ("descend", pb.RangeRequest.DESCEND),
    ],
)
@pytest.mark.parametrize(
    ("target", "sent_target"),
    [
        ("key", pb.RangeRequest.KEY),
        ("version", pb.RangeRequest.VERSION),
        ("create", pb.RangeRequest.CREATE),
        ("mod", pb.RangeRequest.MOD),
        ("value", pb.RangeRequest.VALUE),
    ],
)
def test_the_documented_words_for_sorting_are_etcds(
    order: str | None,
    sent: pb.RangeRequest.SortOrder,
    target: str,
    sent_target: pb.RangeRequest.SortTarget,
) -> None:
    request = range_request(b"a", b"b", sort_order=order, sort_target=target)
    assert (request.sort_order, request.sort_target) == (sent, sent_target)


@given(key=keys, value=st.binary(), lease=numbers, prev_kv=st.booleans())
def test_a_put_is_sent_as_it_was_given(key: bytes, value: bytes, lease: int, prev_kv: bool) -> None:
    assert put_request(key, value, lease, prev_kv) == pb.PutRequest(
        key=key, value=value, lease=lease, prev_kv=prev_kv
    )


def test_a_put_can_keep_the_value_or_the_lease() -> None:
    assert put_request(b"k", b"", 7, ignore_value=True) == pb.PutRequest(
        key=b"k", lease=7, ignore_value=True
    )
    assert put_request(b"k", b"v", ignore_lease=True) == pb.PutRequest(
        key=b"k", value=b"v", ignore_lease=True
    )


def test_a_lease_is_taken_by_its_id_or_by_what_has_one() -> None:
    assert lease_id("lease", 7) == lease_id("lease", HeldLease(7)) == 7


@pytest.mark.parametrize(
    ("lease", "kind", "complaint"),
    [
        ("7", TypeError, "lease must be a lease or its id, not str"),
        (b"7", TypeError, "lease must be a lease or its id, not bytes"),
        (7.0, TypeError, "lease must be a lease or its id, not float"),
        (True, TypeError, "lease must be an int, not bool"),
        (-1, ValueError, "lease must be at least 0, not -1"),
        (INT64_MAX + 1, ValueError, "lease must be at most"),
        (HeldLease("7"), TypeError, "lease.id must be an int, not str"),
        (HeldLease(None), TypeError, "lease.id must be an int, not NoneType"),
        (HeldLease(-7), ValueError, "lease.id must be at least 0, not -7"),
    ],
)
def test_what_is_no_lease_is_refused_by_name(
    lease: Any, kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind) as caught:
        put_request(b"k", b"v", lease)
    assert str(caught.value).startswith(complaint)


@given(key=keys, prev_kv=st.booleans())
def test_the_deletion_of_a_key_has_no_end(key: bytes, prev_kv: bool) -> None:
    assert delete_request(key, prev_kv=prev_kv) == pb.DeleteRangeRequest(key=key, prev_kv=prev_kv)


def test_a_compaction_is_sent_as_it_was_given() -> None:
    assert compaction_request(7, True) == pb.CompactionRequest(revision=7, physical=True)
    assert compaction_request(7) == pb.CompactionRequest(revision=7)


# Prefixes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"ab", b"ac"),
        (b"a", b"b"),
        (b"\0", b"\x01"),
        (b"ab\xff", b"ac"),
        (b"ab\xff\xff", b"ac"),
        (b"a\xffb", b"a\xffc"),
        (b"\xfe", b"\xff"),
        (b"\xfe\xff", b"\xff"),
        (b"\xff", b"\0"),
        (b"\xff\xff", b"\0"),
        (b"", b"\0"),
    ],
)
def test_a_prefix_ends_at_the_first_key_after_it(prefix: bytes, end: bytes) -> None:
    assert prefix_range_end(prefix) == end


@given(prefix=near_keys, key=near_keys.filter(bool))
def test_a_prefix_holds_a_key_if_and_only_if_the_key_begins_with_it(
    prefix: bytes, key: bytes
) -> None:
    start, end = checked_prefix(prefix)
    assert start
    within = start <= key and (end == b"\0" or key < end)
    assert within == key.startswith(prefix)


def test_a_range_keeps_its_ends() -> None:
    assert checked_range(b"a", b"b") == (b"a", b"b")
    assert checked_range(b"a", b"a") == (b"a", b"a")
    assert checked_range(b"b", b"\0") == (b"b", b"\0")


@given(start=keys, end=keys)
def test_a_range_never_ends_before_it_begins(start: bytes, end: bytes) -> None:
    if end < start and end != b"\0":
        with pytest.raises(ValueError, match="range_end must not be below"):
            checked_range(start, end)
    else:
        assert checked_range(start, end) == (start, end)
