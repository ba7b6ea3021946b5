"""The requests that are built from arguments, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_channel import prefix_range_end
from etcd_channel.arguments import INT64_MAX, INT64_MIN, check_prefix
from etcd_kv.pb import kv_pb2 as pb
from etcd_kv.requests import (
    SortOrder,
    SortTarget,
    checked_range,
    compaction_request,
    delete_request,
    put_request,
    range_request,
)

keys = st.binary(min_size=1, max_size=8)
# Few byte values, so that keys often share prefixes and end in 0xff.
near_keys = st.lists(st.sampled_from([0, 1, 97, 254, 255]), max_size=5).map(bytes)
numbers = st.integers(min_value=0, max_value=INT64_MAX)


class LeaseWithId:
    """A lease as far as a put needs it."""

    def __init__(self, id: Any) -> None:
        self.id = id


def test_a_read_without_options_sends_only_the_key() -> None:
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
def test_every_option_of_a_read_is_sent(
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


def test_none_means_the_default_of_an_option() -> None:
    options: dict[str, Any] = dict.fromkeys(("limit", "revision", "min_mod_revision", "count_only"))
    assert range_request(b"key", **options) == range_request(b"key")


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
def test_the_documented_sort_orders_and_targets_are_those_of_etcd(
    order: SortOrder | None,
    sent: pb.RangeRequest.SortOrder,
    target: SortTarget,
    sent_target: pb.RangeRequest.SortTarget,
) -> None:
    request = range_request(b"a", b"b", sort_order=order, sort_target=target)
    assert (request.sort_order, request.sort_target) == (sent, sent_target)


@given(key=keys, value=st.binary(), lease=numbers, prev_kv=st.booleans())
def test_every_argument_of_a_put_is_sent(
    key: bytes, value: bytes, lease: int, prev_kv: bool
) -> None:
    assert put_request(key, value, lease, prev_kv) == pb.PutRequest(
        key=key, value=value, lease=lease, prev_kv=prev_kv
    )


def test_a_put_can_ignore_the_value_or_the_lease() -> None:
    assert put_request(b"k", b"", 7, ignore_value=True) == pb.PutRequest(
        key=b"k", lease=7, ignore_value=True
    )
    assert put_request(b"k", b"v", ignore_lease=True) == pb.PutRequest(
        key=b"k", value=b"v", ignore_lease=True
    )


@pytest.mark.parametrize("number", [0, 7, -5, INT64_MAX, INT64_MIN])
def test_a_lease_is_an_id_or_an_object_with_an_id(number: int) -> None:
    given: list[Any] = [number, LeaseWithId(number), f"{number}", f"{number}".encode()]
    for lease in given:
        assert put_request(b"k", b"v", lease).lease == number


@pytest.mark.parametrize(
    ("lease", "kind", "complaint"),
    [
        ("seven", ValueError, "lease must be a whole number, which this str is not"),
        (b"", ValueError, "lease must be a whole number, not b''"),
        (7.0, TypeError, "lease must be a lease or its id, an int, not float"),
        (True, TypeError, "lease must be a lease or its id, an int, not bool"),
        (INT64_MIN - 1, ValueError, "lease must be at least"),
        (INT64_MAX + 1, ValueError, "lease must be at most"),
        (LeaseWithId(None), TypeError, "lease.id must be a lease or its id, an int, not None"),
    ],
)
def test_an_invalid_lease_is_refused_by_an_error_that_names_it(
    lease: Any, kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind) as caught:
        put_request(b"k", b"v", lease)
    assert str(caught.value).startswith(complaint)


@given(key=keys, prev_kv=st.booleans())
def test_the_deletion_of_one_key_has_no_range_end(key: bytes, prev_kv: bool) -> None:
    assert delete_request(key, prev_kv=prev_kv) == pb.DeleteRangeRequest(key=key, prev_kv=prev_kv)


def test_every_argument_of_a_compaction_is_sent() -> None:
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
def test_the_range_end_of_a_prefix_is_the_first_key_after_it(prefix: bytes, end: bytes) -> None:
    assert prefix_range_end(prefix) == end


@given(prefix=near_keys, key=near_keys.filter(bool))
def test_the_range_of_a_prefix_contains_exactly_the_keys_that_begin_with_it(
    prefix: bytes, key: bytes
) -> None:
    start, end = check_prefix("key_prefix", prefix)
    assert start
    within = start <= key and (end == b"\0" or key < end)
    assert within == key.startswith(prefix)


def test_the_ends_of_a_range_are_not_changed() -> None:
    assert checked_range(b"a", b"b") == (b"a", b"b")
    assert checked_range(b"a", b"a") == (b"a", b"a")
    assert checked_range(b"b", b"\0") == (b"b", b"\0")


@given(start=keys, end=keys)
def test_the_ends_of_a_range_are_sent(start: bytes, end: bytes) -> None:
    assert checked_range(start, end) == (start, end)
    assert checked_range(start, None) == checked_range(start, b"") == (start, b"")
