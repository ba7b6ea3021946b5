"""How items are cut into transactions: the builders alone, without a server."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_channel import Channel
from etcd_channel.errors import RequestTooLargeError, ResourceExhaustedError, TooManyOperationsError
from etcd_kv import BulkError, BulkPart, PutMany
from etcd_kv._bulk_cutters import DeleteCutter, GetCutter, PutCutter
from etcd_kv._bulk_limits import BulkLimits
from etcd_kv._bulk_parts import Part
from etcd_kv.pb import kv_pb2 as pb


@dataclass
class Given:
    operations: int
    size: int


KEYS = st.one_of(st.binary(min_size=1, max_size=2), st.binary(min_size=1, max_size=300))
PAIRS = st.lists(
    st.one_of(
        st.tuples(KEYS, st.binary(max_size=300)),
        st.tuples(KEYS, st.binary(max_size=300), st.integers(1, (1 << 63) - 1)),
    ),
    max_size=60,
)
LIMITS = st.builds(Given, st.integers(1, 10), st.integers(1, 2000))


def all_parts(cutter: PutCutter | GetCutter | DeleteCutter, items: list[object]) -> list[Part]:
    """Cut as a source does: an item at a time, and the rest at the end."""
    parts = []
    for item in items:
        while cutter.fill((item,) if item is not None else ()):
            part = cutter.take()
            assert part is not None
            parts.append(part)
            item = None
    return parts + cutter.rest()


def keep_to(limits: Given, parts: list[Part]) -> None:
    position = 0
    for part in parts:
        assert part.positions == range(position, position + len(part))
        position += len(part)
        assert 1 <= len(part) <= limits.operations
        size = part.request.ByteSize()
        assert size <= part.size
        assert size <= limits.size or len(part) == 1


@given(PAIRS, LIMITS)
def test_pairs_keep_their_order_and_the_limits(
    pairs: list[tuple[bytes, bytes]], limits: Given
) -> None:
    parts = all_parts(PutCutter(limits, None), list(pairs))
    keep_to(limits, parts)
    assert [item for part in parts for item in BulkPart[object](part).items] == pairs
    for part in parts:
        keys = [op.request_put.key for op in part.request.success]
        assert part.keys == set(keys)
        assert len(part.keys) == len(keys)


@given(PAIRS, LIMITS)
def test_an_iterator_is_cut_as_its_items_one_by_one(
    pairs: list[tuple[bytes, bytes]], limits: Given
) -> None:
    cutter = PutCutter(limits, None)
    source = iter(pairs)
    parts = []
    while True:
        full = cutter.fill(source)
        part = cutter.take()
        if part is None:
            break
        parts.append(part)
        assert full or not list(source)
    expected = all_parts(PutCutter(limits, None), list(pairs))
    assert [part.request for part in parts] == [part.request for part in expected]


@given(st.lists(KEYS, max_size=60), LIMITS)
def test_keys_keep_their_order_and_the_limits(keys: list[bytes], limits: Given) -> None:
    reads = GetCutter(limits, revision=5, keys_only=True, serializable=True)
    parts = all_parts(reads, list(keys))
    keep_to(limits, parts)
    sent = [op.request_range for part in parts for op in part.request.success]
    assert sent == [
        pb.RangeRequest(key=key, revision=5, keys_only=True, serializable=True) for key in keys
    ]
    parts = all_parts(DeleteCutter(limits), list(keys))
    keep_to(limits, parts)
    assert [item for part in parts for item in BulkPart[object](part).items] == keys


@given(PAIRS, LIMITS, LIMITS)
def test_a_part_that_is_split_keeps_to_the_lower_limits(
    pairs: list[tuple[bytes, bytes]], limits: Given, lower: Given
) -> None:
    for part in all_parts(PutCutter(limits, None), list(pairs)):
        pieces = part.split(lower.operations, lower.size)
        assert pieces[0].first == part.first
        assert sum(map(len, pieces)) == len(part)
        assert [op for piece in pieces for op in piece.request.success] == list(
            part.request.success
        )
        for piece in pieces:
            keep_to(lower, [*_moved(piece)])


def _moved(piece: Part) -> list[Part]:
    """Return a piece as if it were the first."""
    moved = Part(0)
    moved.request, moved.size = piece.request, piece.size
    return [moved]


async def test_half_of_what_was_refused_is_the_limit_of_the_channel() -> None:
    channel = Channel()
    limits, others = BulkLimits(channel, 100, 10_000), BulkLimits(channel, None, None)
    cutter = PutCutter(limits, None)
    cutter.fill([(b"%d" % number, b"x" * 50) for number in range(100)])
    part = cutter.take()
    assert part is not None
    assert not limits.smaller(part, ResourceExhaustedError("other"))
    pieces = limits.smaller(part, TooManyOperationsError("refused"))
    assert [len(piece) for piece in pieces] == [50, 50]
    assert (limits.operations, others.operations) == (50, 50)
    pieces = limits.smaller(pieces[0], RequestTooLargeError("refused"))
    assert len(pieces) in (2, 3)
    assert limits.size == others.size < 10_000
    # An answer that is too large is of this call alone.
    assert limits.smaller(pieces[0], ResourceExhaustedError("Received message larger than max"))
    assert limits.operations < others.operations == 50
    single = part.split(1, 1)[0]
    assert not limits.smaller(single, TooManyOperationsError("refused"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_failure_can_be_pickled(protocol: int) -> None:
    cutter = PutCutter(Given(10, 1000), 7)
    cutter.fill([(b"a", b"1"), (b"b", b"2")])
    part = cutter.take()
    assert part is not None
    result = PutMany()
    result._record_read(part)
    error = BulkError("failed", result=result, part=result.not_done[0])
    again = pickle.loads(pickle.dumps(error, protocol))
    assert isinstance(again.result, PutMany)
    assert again.part.items == [(b"a", b"1", 7), (b"b", b"2", 7)]
    assert repr(again.result) == repr(result)
